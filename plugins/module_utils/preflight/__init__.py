"""Can a host become what the inventory says?"""
