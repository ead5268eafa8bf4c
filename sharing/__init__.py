"""Sharing with the competent authority: the stage's place in the corridor; its parts come with their own issue."""
