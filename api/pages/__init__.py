"""The pages for people: search and administration, their scripts and styles, and the files of which they are made."""
