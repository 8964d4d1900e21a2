"""The report, the live page, the model card and charts, made from records."""
