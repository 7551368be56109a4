//! Load against an independent JSON implementation, over generated documents and over documents that were damaged.

use proptest::prelude::*;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::load::infer_schema;
use crate::load::testing::{cell, error, json_options, load_payloads, one_field};
use crate::load::{Format, LoadOptions};

/// Number literals, nasty ones first.
fn number() -> impl Strategy<Value = String> {
    let nasty = prop::sample::select(vec![
        "-0",
        "0",
        "-0.0",
        "0.0",
        "1.0",
        "1e3",
        "1E-3",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775808",
        "-9223372036854775809",
        "18446744073709551615",
        "18446744073709551616",
        "1e308",
        "5e-324",
        "0.1",
        "123456789012345678901234567890",
        "9007199254740993",
        "1.7976931348623157e308",
        "2.2250738585072011e-308",
        "0e5",
        "100000000000000000000000000000000000000",
    ]);
    prop_oneof![
        nasty.prop_map(str::to_owned),
        any::<i64>().prop_map(|number| number.to_string()),
        (-1000_i64..1000).prop_map(|number| number.to_string()),
        "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,25})?([eE][+-]?[0-9]{1,2})?",
    ]
}

/// String literals, with and without escapes.
fn string() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        4 => "[a-zA-Z0-9 :.,{}\\[\\]é😀-]{0,20}",
        1 => prop::sample::select(vec!["\\n", "\\\"", "\\\\", "\\/", "\\u0000", "\\u00e9", "\\ud83d\\ude00", "\\ud800", "\\udc00", "\u{7f}"]).prop_map(str::to_owned),
    ];
    let dates = prop::sample::select(vec![
        "2024-02-29",
        "2024-02-30",
        "2024-05-31T23:59:59Z",
        "2024-05-31T23:59:59.123456+01:00",
        "2024-05-31T23:59:59",
    ]);
    prop_oneof![
        4 => prop::collection::vec(part, 0..4).prop_map(|parts| format!("\"{}\"", parts.concat())),
        1 => dates.prop_map(|date| format!("\"{date}\"")),
    ]
}

/// Any JSON value, as text.
fn value() -> impl Strategy<Value = String> {
    let leaf =
        prop_oneof![number(), string(), prop::sample::select(vec!["true", "false", "null"]).prop_map(str::to_owned)];
    leaf.prop_recursive(4, 24, 5, |inner| {
        let names = prop::sample::select(vec!["a", "b", "c", "", "_kafka_offset", "x.y", "\\u0061"]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(|items| format!("[{}]", items.join(" , "))),
            prop::collection::vec((names, inner), 0..5).prop_map(|members| {
                let members: Vec<String> =
                    members.into_iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

fn object() -> impl Strategy<Value = String> {
    prop::collection::vec((prop::sample::select(vec!["a", "b", "c", "d", "_rdp_error", "p.q", "é"]), value()), 0..6)
        .prop_map(|members| {
            let members: Vec<String> = members.into_iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
            format!("{{{}}}", members.join(","))
        })
}

/// What another implementation says column `a` holds under a type; `Err` for a payload that must be quarantined.
fn oracle(data_type: &str, literal: &str) -> Result<Option<String>, ()> {
    if literal == "null" {
        return Ok(None);
    }
    let number = |literal: &str| literal.starts_with(|first: char| first == '-' || first.is_ascii_digit());
    let integer = || number(literal) && !literal.contains(['.', 'e', 'E']);
    let landed = match data_type {
        "int64" => integer().then(|| literal.parse::<i64>().ok()).flatten().map(|value| value.to_string()),
        "uint8" => integer()
            .then(|| literal.parse::<i16>().ok().and_then(|value| u8::try_from(value).ok()))
            .flatten()
            .map(|value| value.to_string()),
        "float64" => {
            let value = if number(literal) { serde_json::from_str::<f64>(literal).ok() } else { None };
            // Without its float_roundtrip feature serde_json may be a step off; the standard library is not.
            value
                .and_then(|_| literal.parse::<f64>().ok())
                .filter(|value| value.is_finite())
                .map(|value| format!("{value:?}"))
        }
        "utf8" => serde_json::from_str::<String>(literal).ok(),
        "bool" => serde_json::from_str::<bool>(literal).ok().map(|value| value.to_string()),
        "json" => Some(literal.to_owned()),
        other => panic!("no oracle for {other}"),
    };
    landed.map(Some).ok_or(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_value_lands_as_another_implementation_reads_it(literal in value()) {
        let payload = format!("{{\"a\":{literal}}}");
        for data_type in ["int64", "uint8", "float64", "utf8", "bool", "json"] {
            let loaded = load_payloads(&one_field(data_type), &[&payload]);
            let landed = error(&loaded, 0).map_or_else(|| Ok(cell(&loaded, "a", 0)), |_| Err(()));
            let expected = oracle(data_type, &literal);
            match (data_type, &landed, &expected) {
                ("float64", Ok(Some(landed)), Ok(Some(expected))) => {
                    let (landed, expected): (f64, f64) = (landed.parse().expect("a float"), expected.parse().expect("a float"));
                    prop_assert_eq!(landed.to_bits(), expected.to_bits(), "{}", payload);
                }
                _ => prop_assert_eq!(&landed, &expected, "{} as {}", payload, data_type),
            }
        }
    }

    #[test]
    fn whole_objects_are_accepted_exactly_where_another_implementation_does(
        text in object(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 0..3),
    ) {
        let mut bytes = text.into_bytes();
        for (place, byte, how) in damage {
            let place = place.index(bytes.len());
            match how {
                0 => bytes[place] = byte,
                1 => bytes.insert(place, byte),
                _ => { bytes.remove(place); }
            }
            if bytes.is_empty() { break; }
        }
        // A raw value is read without deciding what its numbers and surrogates mean, which is what an ignored field is.
        let fits = serde_json::from_slice::<&RawValue>(&bytes).is_ok_and(|raw| raw.get().starts_with('{'));
        let options = json_options(r#"[{"name":"z","type":"int8","path":"not there"}]"#);
        let loaded = load_payloads(&options, &[&bytes]);
        prop_assert_eq!(error(&loaded, 0).is_none(), fits, "{:?}: {:?}", String::from_utf8_lossy(&bytes), error(&loaded, 0));
    }

    #[test]
    fn random_bytes_never_crash_and_never_disappear(payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..20)) {
        let schema = r#"[{"name":"a","type":"struct<x: list<decimal(9,2)>, y: map<utf8,json>>"},{"name":"b","type":"binary"},{"name":"c","type":"date"}]"#;
        let loaded = load_payloads(&json_options(schema), &payloads);
        prop_assert_eq!(loaded.rows.num_rows(), payloads.len());
    }

    #[test]
    fn decimals_agree_with_arithmetic_on_strings(literal in number(), precision in 1..=38_u8, scale in 0..=38_u8) {
        let scale = scale.min(precision);
        let loaded = load_payloads(&one_field(&format!("decimal({precision},{scale})")), &[format!("{{\"a\":{literal}}}")]);
        let landed = error(&loaded, 0).is_none().then(|| cell(&loaded, "a", 0).unwrap_or_default());
        let expected = plain_decimal(&literal, usize::from(precision), usize::from(scale));
        prop_assert_eq!(landed, expected, "{} as decimal({},{})", literal, precision, scale);
    }

    #[test]
    fn samples_fit_the_schema_that_is_inferred_from_them(samples in prop::collection::vec(object(), 1..8)) {
        let inferred = infer_schema(samples.iter().map(String::as_bytes)).expect("samples make a schema");
        prop_assert_eq!(inferred.sample_count + inferred.not_json_count, samples.len() as u64);
        if !inferred.schema.is_empty() {
            let options = LoadOptions { format: Format::Json, schema: inferred.schema.clone(), ..LoadOptions::default() };
            let loaded = load_payloads(&options, &samples);
            let reasons: Vec<_> = (0..samples.len()).filter_map(|row| error(&loaded, row)).collect();
            prop_assert_eq!(loaded.quarantined_count, inferred.not_json_count, "{:?} under {}", reasons, inferred.schema.to_json());
            let again = crate::Schema::from_json(&inferred.schema.to_json()).expect("it reads what it writes");
            prop_assert_eq!(again, inferred.schema);
        }
    }
}

/// A number's digits written out plainly with `scale` of them behind the point; `None` where it has too many.
fn plain_decimal(literal: &str, precision: usize, scale: usize) -> Option<String> {
    let (mantissa, exponent) = literal.split_once(['e', 'E']).unwrap_or((literal, "0"));
    let exponent: isize = exponent.parse().expect("short exponents only");
    let (negative, mantissa) = mantissa.strip_prefix('-').map_or((false, mantissa), |rest| (true, rest));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let zeros = "0".repeat(400);
    let digits = format!("{zeros}{whole}{fraction}{zeros}");
    let point = (zeros.len() + whole.len()).checked_add_signed(exponent).expect("short exponents only");
    let (whole, fraction) = digits.split_at(point);
    let whole = whole.trim_start_matches('0');
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > scale {
        return None;
    }
    let unscaled = format!("{whole}{fraction:0<scale$}");
    let significant = unscaled.trim_start_matches('0');
    if significant.len() > precision {
        return None;
    }
    let sign = if negative && !significant.is_empty() { "-" } else { "" };
    let whole = if whole.is_empty() { "0" } else { whole };
    let point = if scale > 0 { "." } else { "" };
    Some(format!("{sign}{whole}{point}{fraction:0<scale$}"))
}

#[test]
fn the_oracle_tells_values_apart() {
    assert_eq!(oracle("int64", "1.0"), Err(()));
    assert_eq!(oracle("utf8", "\"\\ud800\""), Err(()));
    assert_eq!(plain_decimal("12.5e-1", 5, 3).as_deref(), Some("1.250"));
    assert!(serde_json::from_str::<Value>("[1,]").is_err());
}
