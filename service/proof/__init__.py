"""`renrum verify`, each night and by hand; what is sealed when it says yes."""
