//! Functions that are applied row by row, so that they mean what DuckDB means by them.

use polars::prelude::{AnyValue, Column, DataType, Expr, IntoColumn, PolarsError, PolarsResult, Series};

use super::coerce::Typed;
use super::exact::{length_of, output};

/// Applies a function to every row; a row with a null among its arguments is null.
pub(super) fn rowwise(
    arguments: Vec<Expr>,
    of: DataType,
    act: impl Fn(&[AnyValue<'_>]) -> PolarsResult<AnyValue<'static>> + Send + Sync + 'static,
) -> Typed {
    let mut arguments = arguments.into_iter();
    let Some(first) = arguments.next() else { return Typed::null() };
    let result = of.clone();
    let apply = move |columns: &mut [Column]| {
        let length = length_of(columns);
        let series: Vec<&Series> = columns.iter().map(|column| column.as_materialized_series()).collect();
        let mut rows = Vec::with_capacity(length);
        let mut row_values = Vec::with_capacity(series.len());
        for row in 0..length {
            row_values.clear();
            for series in &series {
                row_values.push(series.get(if series.len() == 1 { 0 } else { row })?);
            }
            let has_null = row_values.iter().any(AnyValue::is_null);
            rows.push(if has_null { AnyValue::Null } else { act(&row_values)? });
        }
        let name = columns[0].name().clone();
        Ok(Series::from_any_values_and_dtype(name, &rows, &result, true)?.into_column())
    };
    let expr = first.map_many(apply, &arguments.collect::<Vec<_>>(), output(of.clone()));
    Typed::new(expr, of)
}

/// A value that a function cannot take.
pub(super) fn unfit(why: impl std::fmt::Display) -> PolarsError {
    PolarsError::ComputeError(why.to_string().into())
}

/// The text of a row's argument.
pub(super) fn text<'a>(value: &'a AnyValue<'_>) -> &'a str {
    value.get_str().unwrap_or_default()
}

/// The whole number of a row's argument.
pub(super) fn number(value: &AnyValue<'_>) -> i128 {
    value.extract::<i128>().unwrap_or_default()
}
