"""The tests, by what they need: unit, contract, property, integration, e2e; house: the rules."""
