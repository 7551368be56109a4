//! `rdp sql` beside DuckDB: the same files, the same questions.

use std::path::Path;

use rdp_testing::oracle;

#[test]
#[ignore = "needs Python with DuckDB: make test"]
fn sql_answers_as_duckdb_does_or_not_at_all() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let queries = std::env::var("RDP_QUERIES").ok().and_then(|queries| queries.parse().ok()).unwrap_or(600);
    let answers = oracle::sql_beside_duckdb(env!("CARGO_BIN_EXE_rdp"), queries, 1, &page);
    println!("{} of {} alike, {} refused, {} wider", answers.agree, answers.queries, answers.refused, answers.wider);
    assert!(answers.findings.is_empty(), "{:#?}", answers.findings);
    assert!(answers.agree * 10 >= answers.queries * 8, "too much is refused: {answers:?}");
}
