"""Errors, seeds, paths and other basics that every package uses; imports no other package of Striate."""
