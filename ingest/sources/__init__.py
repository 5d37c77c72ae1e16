"""One module per upstream; AKShare is called only here."""
