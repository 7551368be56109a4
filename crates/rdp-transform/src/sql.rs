//! SQL over landings and files: parsed by `sqlparser`, run by Polars, with DuckDB's meaning.

use std::ops::ControlFlow;

use rdp_elt::{Error, Result};
use sqlparser::ast::{Expr, Statement, Visit, Visitor};
use sqlparser::dialect::DuckDbDialect;
use sqlparser::parser::Parser;

use super::{QueryResult, Tables, planner};

/// Runs one SELECT over the tables and collects its rows.
///
/// A topic's table bears the topic's name, quoted where SQL needs it: `SELECT * FROM "orders-eu"`. Files are read by
/// `read_parquet('glob')`, `read_csv('glob')` and `read_json('glob')` in `FROM`. Only the columns that a query needs are
/// read.
///
/// The answer is the one that DuckDB gives over the same files, or an error; `docs/SQL.md` has the dialect.
///
/// CPU-bound and blocking: call it away from async threads.
///
/// # Errors
/// [`Config`](rdp_elt::ErrorKind::Config) where the statement is wrong, is not of the dialect, names a table that is not
/// there (the help lists those that are), or computes a number that does not fit its type.
pub fn query(statement: &str, tables: &Tables) -> Result<QueryResult> {
    if statement.len() > LONGEST {
        return Err(Error::config(format!("run query: it is longer than {LONGEST} bytes"))
            .with_help("join to a file by read_csv('…') instead of a long list"));
    }
    // What is parsed is walked by recursion, and a chain of operators is as deep as it is long.
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, || run(statement, tables));
        let thread = thread.map_err(|error| Error::unavailable("start a thread for a query").with_source(error))?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn run(statement: &str, tables: &Tables) -> Result<QueryResult> {
    let mut statements = Parser::parse_sql(&DuckDbDialect {}, statement)
        .map_err(|error| Error::config("run query").with_source(error).with_help("mend the statement"))?;
    match (statements.pop(), statements.is_empty()) {
        (Some(statement), true) if depth(&statement) <= DEEPEST => {
            planner::run(&statement, tables).map(QueryResult::new)
        }
        (Some(_), true) => Err(Error::config(format!("run query: expressions are nested deeper than {DEEPEST}"))
            .with_help("use IN (…) instead of a chain of OR")),
        _ => Err(Error::config("run query: it has to be one statement").with_help("begin with SELECT or WITH")),
    }
}

/// How deep the deepest expression is.
fn depth(statement: &Statement) -> usize {
    #[derive(Default)]
    struct Depth {
        now: usize,
        most: usize,
    }
    impl Visitor for Depth {
        type Break = ();
        fn pre_visit_expr(&mut self, _: &Expr) -> ControlFlow<()> {
            self.now += 1;
            self.most = self.most.max(self.now);
            ControlFlow::Continue(())
        }
        fn post_visit_expr(&mut self, _: &Expr) -> ControlFlow<()> {
            self.now -= 1;
            ControlFlow::Continue(())
        }
    }
    let mut depth = Depth::default();
    let _ = statement.visit(&mut depth);
    depth.most
}

/// Bytes of the longest statement that is run.
const LONGEST: usize = 64 << 10;

/// Deeper than people write, and shallow enough for the stack.
const DEEPEST: usize = 300;

/// The stack that the longest chain of operators needs to be walked, and to be refused.
const STACK_BYTES: usize = 128 << 20;

/// A name as a query has to write it.
pub(super) fn quoted(name: &str) -> String {
    let is_plain = name.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_')
        && !name.starts_with(|first: char| first.is_ascii_digit());
    if is_plain { name.to_owned() } else { format!("\"{name}\"") }
}

#[cfg(test)]
mod tests {
    use std::fs::{File, create_dir_all};
    use std::path::Path;

    use polars::prelude::{DataFrame, ParquetWriter, df};

    use super::*;

    fn land(landing: &Path, topic: &str, partition: i32, start: i64, mut rows: DataFrame) {
        let folder = landing.join(format!("topic={topic}")).join(format!("partition={partition}"));
        create_dir_all(&folder).expect("a folder");
        let file = File::create(folder.join(format!("{start:020}.parquet"))).expect("a file");
        ParquetWriter::new(file).finish(&mut rows).expect("it is written");
    }

    fn tables(landing: &Path) -> Tables {
        tables_at(&format!("file:{}", landing.display()))
    }

    fn tables_at(url: &str) -> Tables {
        let mut tables = Tables::new();
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(tables.add_landing(url)).expect("something landed");
        tables
    }

    #[test]
    fn each_topic_is_a_table_over_all_its_partitions() {
        let landing = tempfile::tempdir().expect("a folder");
        land(landing.path(), "orders", 0, 0, df!["id" => [1i64, 2], "status" => ["new", "paid"]].expect("rows"));
        land(landing.path(), "orders", 1, 0, df!["id" => [3i64], "status" => ["paid"]].expect("rows"));
        land(landing.path(), "orders-eu", 0, 0, df!["id" => [9i64]].expect("rows"));
        let tables = tables(landing.path());
        assert_eq!(tables.names().collect::<Vec<_>>(), ["orders", "orders-eu"]);

        let sums = "SELECT status, COUNT(*) AS n, SUM(id) AS ids FROM orders GROUP BY status ORDER BY status";
        let rows = query(sums, &tables).expect("it runs").json_rows();
        assert_eq!(
            serde_json::to_value(rows).expect("JSON"),
            serde_json::json!([{"status": "new", "n": 1, "ids": 1}, {"status": "paid", "n": 2, "ids": 5}])
        );
        let eu = query("SELECT id FROM \"orders-eu\"", &tables).expect("it runs");
        assert_eq!(eu.row_count(), 1);
    }

    #[test]
    fn files_that_differ_in_columns_are_one_table_whatever_their_times() {
        let landing = tempfile::tempdir().expect("a folder");
        // Gained status, dropped id; the newest by its time is of a range in which nothing was visible.
        land(landing.path(), "orders", 0, 0, df!["id" => [1i64], "_kafka_offset" => [0i64]].expect("rows"));
        land(
            landing.path(),
            "orders",
            0,
            1,
            df!["id" => [2i64], "status" => ["paid"], "_kafka_offset" => [1i64]].expect("rows"),
        );
        land(landing.path(), "orders", 0, 2, df!["status" => ["new"], "_kafka_offset" => [2i64]].expect("rows"));
        land(landing.path(), "orders", 0, 3, df!["_kafka_offset" => Vec::<i64>::new()].expect("rows"));
        let rows = query("SELECT * FROM orders ORDER BY _kafka_offset", &tables(landing.path())).expect("it runs");
        assert_eq!(
            serde_json::to_value(rows.json_rows()).expect("JSON"),
            serde_json::json!([
                {"status": null, "id": 1, "_kafka_offset": 0},
                {"status": "paid", "id": 2, "_kafka_offset": 1},
                {"status": "new", "id": null, "_kafka_offset": 2}
            ])
        );
        let tables = tables_at(&format!("file://localhost{}", landing.path().display()));
        assert_eq!(query("SELECT * FROM orders", &tables).expect("it runs").row_count(), 3);
    }

    #[test]
    fn a_column_that_widened_is_one_column_of_the_wider_type() {
        let landing = tempfile::tempdir().expect("a folder");
        let both = |start: i64| [start, start + 1];
        let narrow = df!["n" => [1i32, 2], "x" => [0.5f32, 1.5], "_kafka_offset" => both(0)];
        land(landing.path(), "orders", 0, 0, narrow.expect("rows"));
        land(landing.path(), "orders", 0, 2, df!["_kafka_offset" => both(2)].expect("rows"));
        let wide = df!["n" => [1i64 << 40, 4], "x" => [0.1f64, 2.5], "_kafka_offset" => both(4)];
        land(landing.path(), "orders", 0, 4, wide.expect("rows"));
        let sums = "SELECT SUM(n) AS n, MAX(x) AS x, COUNT(n) AS of_n, COUNT(*) AS all FROM orders";
        let rows = query(sums, &tables(landing.path())).expect("it runs").json_rows();
        let sum = (1i64 << 40) + 7;
        assert_eq!(
            serde_json::to_value(rows).expect("JSON"),
            serde_json::json!([{"n": sum, "x": 2.5, "of_n": 4, "all": 6}])
        );
        let rows = query("SELECT n FROM orders WHERE x < 0.2 OR n = 2", &tables(landing.path())).expect("it runs");
        assert_eq!(rows.row_count(), 2);

        land(landing.path(), "orders", 0, 6, df!["n" => ["text"], "_kafka_offset" => [6i64]].expect("rows"));
        let error = query("SELECT n FROM orders", &tables(landing.path())).expect_err("text is no number");
        assert!(error.message().contains("\"n\""), "{error:?}");
    }

    #[test]
    fn whole_numbers_widen_and_what_fits_nothing_is_an_error() {
        let landing = tempfile::tempdir().expect("a folder");
        let rows = df!["small" => [100i8, 100], "big" => [2_000_000_000i32; 2], "huge" => [i64::MAX; 2], "unsigned" => [u64::MAX; 2]];
        land(landing.path(), "n", 0, 0, rows.expect("rows"));
        let tables = tables(landing.path());
        let one =
            |statement: &str| query(statement, &tables).map(|rows| rows.text_rows()[0][0].clone().unwrap_or_default());
        assert_eq!(one("SELECT SUM(big) FROM n").expect("it runs"), "4000000000");
        assert_eq!(one("SELECT small * 1000 FROM n").expect("it runs"), "100000");
        assert_eq!(one("SELECT SUM(unsigned) FROM n").expect("it runs"), "36893488147419103230");
        assert_eq!(one("SELECT COUNT(*) FROM n WHERE unsigned = 18446744073709551615").expect("it runs"), "2");
        let error = one("SELECT huge * huge * huge FROM n").expect_err("it has 189 bits");
        assert!(error.message().contains("does not fit"), "{error:?}");
    }

    #[test]
    fn an_outer_join_keeps_its_rows_or_is_refused() {
        let landing = tempfile::tempdir().expect("a folder");
        land(landing.path(), "a", 0, 0, df!["x" => [1i64, 2], "o" => [1i64, 1]].expect("rows"));
        land(landing.path(), "b", 0, 0, df!["x" => [1i64, 2], "o" => [5i64, 0]].expect("rows"));
        let tables = tables(landing.path());
        let error =
            query("SELECT * FROM a LEFT JOIN b ON a.x = b.x AND a.o > b.o", &tables).expect_err("it is refused");
        assert!(error.help().is_some_and(|help| help.contains("WHERE")), "{error:?}");
        let rows =
            query("SELECT a.x, b.o FROM a LEFT JOIN b ON a.x = b.x AND b.o > 3 ORDER BY 1", &tables).expect("it runs");
        assert_eq!(
            serde_json::to_value(rows.json_rows()).expect("JSON"),
            serde_json::json!([{"x": 1, "o": 5}, {"x": 2, "o": null}])
        );
        let error = query("SELECT o FROM a JOIN b ON a.x = b.x", &tables).expect_err("it is ambiguous");
        assert!(error.message().contains("ambiguous"), "{error:?}");
    }

    #[test]
    fn a_long_chain_is_refused_and_no_stack_overflows() {
        let deep = format!("SELECT 1{} AS x", " + 1".repeat(15_000));
        let error = query(&deep, &Tables::new()).expect_err("it is too deep");
        assert!(error.message().contains("nested deeper"), "{error:?}");
        let shallow = format!("SELECT 1{} AS x", " + 1".repeat(250));
        assert_eq!(query(&shallow, &Tables::new()).expect("it runs").text_rows()[0][0].as_deref(), Some("251"));
        let list = format!("SELECT 7 IN ({}7) AS x", "1, ".repeat(10_000));
        assert_eq!(query(&list, &Tables::new()).expect("it runs").text_rows()[0][0].as_deref(), Some("true"));
    }

    #[test]
    fn a_column_may_be_called_a_star() {
        let landing = tempfile::tempdir().expect("a folder");
        land(landing.path(), "n", 0, 0, df!["*" => [1i64], "^.*$" => [2i64], "id" => [3i64]].expect("rows"));
        let rows = query("SELECT \"*\" AS star, \"^.*$\" AS all FROM n", &tables(landing.path())).expect("it runs");
        assert_eq!(serde_json::to_value(rows.json_rows()).expect("JSON"), serde_json::json!([{"star": 1, "all": 2}]));
    }

    #[test]
    fn an_unknown_table_is_told_those_that_there_are() {
        let landing = tempfile::tempdir().expect("a folder");
        land(landing.path(), "orders-eu", 0, 0, df!["id" => [1i64]].expect("rows"));
        let error = query("SELECT * FROM order", &tables(landing.path())).err();
        assert!(error.is_some(), "ORDER is a keyword");
        let error = query("SELECT * FROM payments", &tables(landing.path())).expect_err("no such table");
        assert!(error.message().contains("no table \"payments\""), "{error:?}");
        assert!(error.help().is_some_and(|help| help.contains("tables: \"orders-eu\"")), "{error:?}");
    }

    #[test]
    fn files_are_read_without_a_landing() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("rates.csv"), "currency,rate\nEUR,1.0\nUSD,0.9\n").expect("a file");
        let statement = format!("SELECT COUNT(*) AS n FROM read_csv('{}/rates.csv')", folder.path().display());
        assert_eq!(query(&statement, &Tables::new()).expect("it runs").row_count(), 1);
    }
}
