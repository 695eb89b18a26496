"""The operator lab: any number of operators on one set of weights and one photograph."""
