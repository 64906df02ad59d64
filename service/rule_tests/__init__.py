"""`renrum rules test`: tables of what happens and what is expected."""
