"""Does a bench find a capacity that is known: the lab's API and Engine, dgctl's own load and search, and a clock that jumps."""
