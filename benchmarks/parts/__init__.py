"""What is measured, a part each: which contenders take turns at what, and which figures come of an answer."""
