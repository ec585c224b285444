"""How rows come in other than by the library: the HTTP API, the landing folder, and trees that were written before."""
