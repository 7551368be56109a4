//! `rdp audit`: proof from the ledger, and against the broker, that everything landed once.
