"""How each kind of run is planned: begun, retried or resumed."""
