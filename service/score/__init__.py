"""How surely and how fast rules find faults: reports, pictures, floors."""
