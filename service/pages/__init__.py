"""Pages on their way: which goes where, who carries it, what comes back; and what stands, shown to other systems."""
