"""Who competes. Each module is imported only in its contestant's own process."""
