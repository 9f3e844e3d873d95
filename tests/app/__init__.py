"""A project's app: processors under test and the ledger of what they did."""
