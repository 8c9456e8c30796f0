"""The study on the synthetic planet: arms that differ in one thing, several seeds, one table and a picture per question."""
