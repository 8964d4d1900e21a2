"""What everything else stands on; depends on nothing of Striate."""
