"""How many streams or files a server holds: load on absolute schedules, a search, and the advice that follows."""
