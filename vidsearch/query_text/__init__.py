"""The form in which people write a query (docs/queries.md has its grammar) ⇄ Query."""
