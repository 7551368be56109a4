//! Every row of the table of what a value must be, case by case.

use crate::load::UnknownFields;
use crate::load::testing::{cell, error, json_options, keeping, landed, load_payloads, one_field};
use crate::schema::RDP_EXTRA;

/// Asserts what `{"a": <literal>}` lands as under a type.
fn takes(data_type: &str, cases: &[(&str, &str)]) {
    for (literal, expected) in cases {
        let outcome = landed(data_type, format!("{{\"a\":{literal}}}"));
        assert_eq!(outcome.as_ref().map(Option::as_deref), Ok(Some(*expected)), "{literal} as {data_type}");
    }
}

/// Asserts that `{"a": <literal>}` is quarantined for its value, by a reason that names field, type, value and place.
fn quarantines(data_type: &str, literals: &[&str]) {
    for literal in literals {
        let reason = landed(data_type, format!("{{\"a\":{literal}}}"))
            .expect_err(&format!("{literal} does not fit {data_type}"));
        // Of a nested type the innermost part is what does not fit, or the whole.
        let expected = data_type.split(['(', '<', ' ', ',', '>']).filter(|word| !word.is_empty());
        let expected = expected.map(|word| format!("expected {word}")).collect::<Vec<_>>();
        assert!(
            reason.starts_with("field `a") && expected.iter().any(|expected| reason.contains(expected)),
            "{literal} as {data_type}: {reason}"
        );
        assert!(reason.ends_with("(topic orders partition 3 offset 0)"), "{reason}");
    }
}

#[test]
fn integers_take_integer_literals_in_range() {
    takes("int8", &[("-128", "-128"), ("127", "127"), ("0", "0"), ("-0", "0")]);
    takes("int16", &[("-32768", "-32768"), ("32767", "32767")]);
    takes("int32", &[("-2147483648", "-2147483648"), ("2147483647", "2147483647")]);
    takes("int64", &[("-9223372036854775808", "-9223372036854775808"), ("9223372036854775807", "9223372036854775807")]);
    takes("uint8", &[("255", "255"), ("-0", "0")]);
    takes("uint16", &[("65535", "65535")]);
    takes("uint32", &[("4294967295", "4294967295")]);
    takes("uint64", &[("18446744073709551615", "18446744073709551615")]);
    quarantines("int8", &["-129", "128", "1.5", "1.0", "1e3", "\"1\"", "true", "[1]", "{}"]);
    quarantines(
        "int64",
        &["-9223372036854775809", "9223372036854775808", "1.0", "1E2", "99999999999999999999999999", "\"1\""],
    );
    quarantines("uint64", &["-1", "18446744073709551616", "-0.0"]);
}

#[test]
fn every_integer_type_ends_where_its_bits_do() {
    let types: [(&str, i128, i128); 8] = [
        ("int8", i8::MIN.into(), i8::MAX.into()),
        ("int16", i16::MIN.into(), i16::MAX.into()),
        ("int32", i32::MIN.into(), i32::MAX.into()),
        ("int64", i64::MIN.into(), i64::MAX.into()),
        ("uint8", 0, u8::MAX.into()),
        ("uint16", 0, u16::MAX.into()),
        ("uint32", 0, u32::MAX.into()),
        ("uint64", 0, u64::MAX.into()),
    ];
    for (data_type, least, most) in types {
        let [below, least, most, above] = [least - 1, least, most, most + 1].map(|number| number.to_string());
        takes(data_type, &[(&least, &least), (&most, &most)]);
        quarantines(data_type, &[&below, &above, "1.5", "1.0", "1e3", "\"1\"", "false", "[]"]);
    }
}

#[test]
fn floats_take_the_nearest_value_of_any_finite_literal() {
    takes(
        "float64",
        &[("1", "1.0"), ("-0", "-0.0"), ("-0.0", "-0.0"), ("1e3", "1000.0"), ("0.1", "0.1"), ("5e-324", "5e-324")],
    );
    takes(
        "float64",
        &[
            ("9007199254740993", "9007199254740992.0"),
            ("1.7976931348623157e308", "1.7976931348623157e308"),
            ("1e-400", "0.0"),
        ],
    );
    takes(
        "float32",
        &[("16777217", "16777216.0"), ("17005001.000000000000130", "17005002.0"), ("3.4028235e38", "3.4028235e38")],
    );
    quarantines("float64", &["1e309", "-1e999", "\"1.5\"", "true"]);
    takes("float32", &[("-0", "-0.0"), ("1e-60", "0.0"), ("1e-45", "1e-45")]);
    quarantines("float32", &["3.4028236e38", "1e39", "-1e39", "\"1.5\"", "false", "[]", "{}"]);
}

#[test]
fn decimals_are_exact() {
    takes(
        "decimal(5,2)",
        &[
            ("1", "1.00"),
            ("1.5", "1.50"),
            ("1.500", "1.50"),
            ("-123.45", "-123.45"),
            ("1e2", "100.00"),
            ("\"2.50\"", "2.50"),
        ],
    );
    takes("decimal(38,0)", &[("99999999999999999999999999999999999999", "99999999999999999999999999999999999999")]);
    takes(
        "decimal(20,2)",
        &[("0.07", "0.07"), ("100000000000000000.05", "100000000000000000.05"), (r#""\u0031.5""#, "1.50")],
    );
    quarantines(
        "decimal(5,2)",
        &[
            "1.005", "1000", "1e3", "\"\"", "\"1.5 \"", "\"+1\"", "\".5\"", "\"1.\"", "\"NaN\"", "true", "\"0x1\"",
            "[1]",
        ],
    );
}

#[test]
fn utf8_takes_strings_with_their_escapes_decoded() {
    takes(
        "utf8",
        &[(r#""""#, ""), (r#""é\u00e9\ud83d\ude00\n""#, "éé😀\n"), (r#""a\u0000b""#, "a\0b"), (r#""\\\"\/""#, "\\\"/")],
    );
    quarantines("utf8", &["1", "true", "{}", "[]", r#""\ud800""#, r#""\udc00x""#, r#""\ud800\u0041""#]);
    for bytes in [b"\xff".as_slice(), b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe9\x80"] {
        let payload = [b"{\"a\":\"", bytes, b"\"}"].concat();
        let reason = landed("utf8", payload).expect_err("it is not UTF-8");
        assert!(reason.contains("expected UTF-8 at byte 6"), "{reason}");
    }
}

#[test]
fn binary_takes_padded_base64_of_the_standard_alphabet() {
    takes("binary", &[(r#""""#, ""), (r#""aGk=""#, "6869"), (r#""+/8=""#, "fbff"), (r#""\u0061Gk=""#, "6869")]);
    quarantines("binary", &[r#""aGk""#, r#""-_8=""#, r#""aGk=\n""#, r#""aGl=""#, "1", "[104,105]"]);
}

#[test]
fn bools_take_true_and_false() {
    takes("bool", &[("true", "true"), ("false", "false")]);
    quarantines("bool", &["0", "1", "\"true\"", "[]"]);
}

#[test]
fn dates_and_timestamps_take_rfc_3339_and_epochs() {
    takes("date", &[(r#""2024-02-29""#, "2024-02-29")]);
    quarantines("date", &[r#""2023-02-29""#, r#""2024-02-29T00:00:00Z""#, "19782", r#""24-02-29""#]);
    takes(
        "timestamp(ms,UTC)",
        &[
            (r#""2024-05-31T23:59:59.5+02:00""#, "2024-05-31T21:59:59.500Z"),
            ("1709208000123", "2024-02-29T12:00:00.123Z"),
        ],
    );
    takes("timestamp(s)", &[(r#""2024-05-31T23:59:59""#, "2024-05-31T23:59:59"), ("-1", "1969-12-31T23:59:59")]);
    takes("timestamp(ns,UTC)", &[(r#""2024-05-31t23:59:59.123456789z""#, "2024-05-31T23:59:59.123456789Z")]);
    quarantines(
        "timestamp(ms,UTC)",
        &[r#""2024-05-31T23:59:59""#, r#""2024-05-31T23:59:59.0001Z""#, r#""2024-05-31T23:59:60Z""#],
    );
    quarantines(
        "timestamp(ms,UTC)",
        &["1.5", "1e3", "true", r#""2024-05-31""#, "9223372036854775808", "9223372036854775807"],
    );
    quarantines("timestamp(ns,UTC)", &[r#""2263-01-01T00:00:00Z""#, r#""1600-01-01T00:00:00Z""#]);
    takes("date", &[(r#""0000-01-01""#, "0000-01-01"), (r#""9999-12-31""#, "9999-12-31")]);
    takes("timestamp(us,UTC)", &[(r#""2024-05-31 23:59:59.123456-01:00""#, "2024-06-01T00:59:59.123456Z")]);
    takes(
        "timestamp(s,UTC)",
        &[(r#""2024-05-31T23:59:59.000Z""#, "2024-05-31T23:59:59Z"), ("0", "1970-01-01T00:00:00Z")],
    );
    // Without a zone in the type the text may have one: then its wall clock in UTC counts.
    for unit in ["s", "ms", "us", "ns"] {
        let data_type = format!("timestamp({unit})");
        takes(&data_type, &[(r#""2024-05-31T23:59:59+02:00""#, "2024-05-31T21:59:59")]);
        quarantines(
            &data_type,
            &[r#""2024-02-30T00:00:00""#, r#""2024-05-31T24:00:00""#, "1.5", "1e3", "9223372036854775808", "[]"],
        );
        quarantines(&format!("timestamp({unit},UTC)"), &[r#""2024-05-31T23:59:59""#, r#""0""#, "{}"]);
    }
    for (unit, finer) in [("s", ".1"), ("ms", ".1234"), ("us", ".1234567"), ("ns", ".1234567891")] {
        quarantines(&format!("timestamp({unit})"), &[&format!("\"2024-05-31T23:59:59{finer}\"")]);
    }
}

#[test]
fn json_takes_any_subtree_as_its_own_text() {
    let texts =
        [r#"{ "b" : [1.0, 1e3,"\u00e9"] }"#, "1.50", "\"\\ud800\"", "true", "[]", "123456789012345678901234567890"];
    takes("json", &texts.map(|text| (text, text)));
    for text in ["{b:1}", "[1,]", "\"\\uZZZZ\"", "nul", "01", "[1", "1 2"] {
        assert!(landed("json", format!("{{\"a\":{text}}}")).is_err(), "{text}");
    }
}

#[test]
fn lists_structs_and_maps_take_their_parts() {
    takes("list<int8>", &[("[]", "[]"), ("[1,null,3]", "[1, , 3]")]);
    takes("list<list<utf8>>", &[(r#"[["a"],[],null]"#, "[[a], [], ]")]);
    takes(
        "struct<x: int8, y: utf8>",
        &[(r#"{"y":"b","x":1}"#, "{x: 1, y: b}"), ("{}", "{x: , y: }"), (r#"{"z":[1],"x":2}"#, "{x: 2, y: }")],
    );
    takes("map<utf8,int8>", &[("{}", "{}"), (r#"{"a":1,"\u0062":null}"#, "{a: 1, b: }")]);
    quarantines("list<int8>", &["[1,\"2\"]", "{}", "1"]);
    quarantines("struct<x: int8>", &["[]", r#"{"x":"1"}"#]);
    quarantines("map<utf8,int8>", &["[]", r#"{"k":"1"}"#]);
    let twice = landed("struct<x: int8>", r#"{"a":{"x":1,"x":2}}"#).expect_err("x appears twice");
    assert!(twice.starts_with("field `a.x`: it appears twice"), "{twice}");
    assert!(landed("map<utf8,int8>", r#"{"a":{"k":1,"\u006b":2}}"#).is_err());
    let inside = landed("list<struct<x: int8>>", r#"{"a":[{"x":1},{"x":"2"}]}"#).expect_err("x is a string");
    assert!(inside.starts_with("field `a[1].x`: expected int8, found \"2\""), "{inside}");
}

#[test]
fn null_and_absent_are_null_unless_required() {
    let simple = [
        "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64", "utf8",
        "binary", "date", "json",
    ];
    let others =
        ["decimal(5,2)", "timestamp(ms,UTC)", "timestamp(s)", "list<int8>", "map<utf8,int8>", "struct<x: int8>"];
    for data_type in simple.into_iter().chain(others) {
        for payload in ["{}", r#"{"a":null}"#, r#" { "a" : null , "b" : 1 } "#] {
            assert_eq!(landed(data_type, payload), Ok(None), "{payload} as {data_type}");
        }
        let field = serde_json::json!([{ "name": "a", "type": data_type, "required": true }]);
        let loaded = load_payloads(&json_options(&field.to_string()), &["{}", r#"{"a":null}"#]);
        assert_eq!(loaded.quarantined_count, 2, "{data_type}");
    }
    let required = json_options(r#"[{"name":"a","type":"json","required":true}]"#);
    let loaded = load_payloads(&required, &["{}", r#"{"a":null}"#, r#"{"a":0}"#]);
    assert_eq!(loaded.quarantined_count, 2);
    assert!(error(&loaded, 0).is_some_and(|reason| reason.starts_with("field `a`: expected a value of type json")));
}

#[test]
fn a_declared_field_that_appears_twice_quarantines() {
    for payload in [r#"{"a":1,"a":1}"#, r#"{"a":null,"a":1}"#, r#"{"a":1,"\u0061":2}"#, r#"{"a":1,"b":0,"a":null}"#] {
        let reason = landed("int64", payload).expect_err(payload);
        assert!(reason.starts_with("field `a`: it appears twice"), "{reason}");
    }
    assert_eq!(landed("int64", r#"{"b":1,"b":2,"a":3}"#), Ok(Some("3".to_owned())));
    let nested = json_options(
        r#"[{"name":"city","type":"utf8","path":"address.city"},{"name":"zip","type":"utf8","path":"address.zip"}]"#,
    );
    let loaded = load_payloads(
        &nested,
        &[r#"{"address":{"city":"x","city":"y"}}"#, r#"{"address":{"city":"x"},"address":{"zip":"y"}}"#],
    );
    assert_eq!(loaded.quarantined_count, 2);
}

#[test]
fn a_payload_that_is_not_one_json_object_quarantines() {
    let payloads: [&[u8]; 16] = [
        b"",
        b" ",
        b"null",
        b"[]",
        b"1",
        b"\"a\"",
        b"{",
        b"{\"a\":1",
        b"{\"a\":1}}",
        b"{\"a\":1} x",
        b"{\"a\":1}{}",
        b"\xef\xbb\xbf{}",
        b"{\"a\":1,}",
        b"{\"b\":\"\xff\"}",
        b"{\"b\":\"\x01\"}",
        b"{'a':1}",
    ];
    for payload in payloads {
        assert!(landed("int64", payload).is_err(), "{:?}", String::from_utf8_lossy(payload));
    }
    for garbage in
        [r#"{"b":nul,"a":1}"#, r#"{"b":01,"a":1}"#, r#"{"b":[1 2],"a":1}"#, r#"{"b":"\q","a":1}"#, r#"{"b":1e,"a":1}"#]
    {
        assert!(landed("int64", garbage).is_err(), "{garbage}");
    }
}

#[test]
fn deep_nesting_quarantines_and_never_crashes() {
    for open in ["[", "{\"a\":", "[{\"a\":"] {
        for prefix in ["", "{\"a\":", "{\"b\":"] {
            for data_type in ["int64", "json", "list<list<json>>", "struct<a: struct<a: json>>"] {
                assert!(landed(data_type, format!("{prefix}{}", open.repeat(100_000))).is_err());
            }
        }
    }
    let closed = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(landed("json", &closed).is_err_and(|reason| reason.contains("deeper")));
}

#[test]
fn dotted_paths_lead_into_objects() {
    let options = json_options(
        r#"[{"name":"city","type":"utf8","path":"address.city"},{"name":"lat","type":"float64","path":"address.at.lat"},{"name":"dot","type":"int8","path":"a\\.b"}]"#,
    );
    let payloads = [
        r#"{"address":{"at":{"lat":1.5,"lon":2},"city":"x"},"a.b":7,"a":{"b":8}}"#,
        r#"{"address":null}"#,
        r#"{"address":{"at":null}}"#,
        r#"{"address":[]}"#,
        r#"{"address":{"city":1}}"#,
    ];
    let loaded = load_payloads(&options, &payloads);
    let cells = |row| ["city", "lat", "dot"].map(|column| cell(&loaded, column, row));
    assert_eq!(cells(0), [Some("x".to_owned()), Some("1.5".to_owned()), Some("7".to_owned())]);
    assert_eq!((cells(1), cells(2)), ([None, None, None], [None, None, None]));
    assert_eq!(loaded.quarantined_count, 2);
    assert!(error(&loaded, 3).is_some_and(|reason| reason.starts_with("field `address`: expected an object")));
    assert!(error(&loaded, 4).is_some_and(|reason| reason.starts_with("field `city`: expected utf8, found 1")));
}

#[test]
fn unknown_fields_are_ignored_kept_or_quarantined() {
    let schema = r#"[{"name":"id","type":"int64"},{"name":"city","type":"utf8","path":"address.city"},{"name":"items","type":"list<struct<x: int8>>"}]"#;
    let payloads = [
        r#"{"id":1,"z":1.50,"address":{"zip" : [1, 2],"city":"x"},"items":[{"x":1,"y":2}]}"#,
        r#"{"id":2,"address":{"city":"y"},"items":[{"x":1}]}"#,
        r#"{"\u007a":{"id":null}}"#,
    ];
    let ignored = load_payloads(&json_options(schema), &payloads);
    assert_eq!(ignored.quarantined_count, 0);
    assert!(ignored.rows.column_by_name(RDP_EXTRA).is_none());
    let kept = load_payloads(&keeping(json_options(schema), UnknownFields::Keep), &payloads);
    assert_eq!(kept.quarantined_count, 0);
    assert_eq!(
        cell(&kept, RDP_EXTRA, 0).as_deref(),
        Some(r#"{"z":1.50,"address":{"zip":[1, 2]},"items":[{"x":1,"y":2}]}"#)
    );
    assert_eq!(cell(&kept, RDP_EXTRA, 1), None);
    assert_eq!(cell(&kept, RDP_EXTRA, 2).as_deref(), Some(r#"{"\u007a":{"id":null}}"#));
    let strict = load_payloads(&keeping(json_options(schema), UnknownFields::Quarantine), &payloads);
    assert_eq!(strict.quarantined_count, 2);
    assert!(error(&strict, 0).is_some_and(|reason| reason.starts_with("field `z`: the schema does not name it")));
}

#[test]
fn a_record_that_fails_half_way_leaves_no_trace_in_its_neighbours() {
    let schema = r#"[{"name":"l","type":"list<struct<x: utf8, y: int8>>"},{"name":"m","type":"map<utf8,utf8>"},{"name":"s","type":"utf8"},{"name":"n","type":"int8"}]"#;
    let good = r#"{"l":[{"x":"a","y":1},{"x":"b"}],"m":{"k":"v"},"s":"t","n":1}"#;
    let bad = [
        r#"{"l":[{"x":"lost","y":1},{"x":"lost","y":"2"}],"m":{"k":"v"},"s":"t","n":1}"#,
        r#"{"l":[{"x":"lost"}],"m":{"k":"lost","j":1},"s":"lost","n":1}"#,
        r#"{"l":[{"x":"lost"}],"m":{"k":"lost"},"s":"lost\ud800","n":1}"#,
        r#"{"s":"lost","n":1}garbage"#,
    ];
    let mut payloads = vec![good];
    for payload in bad {
        payloads.extend([payload, good]);
    }
    for unknown_fields in [UnknownFields::Ignore, UnknownFields::Keep] {
        let loaded = load_payloads(&keeping(json_options(schema), unknown_fields), &payloads);
        assert_eq!(loaded.quarantined_count, 4);
        for (row, payload) in payloads.iter().enumerate() {
            let cells = ["l", "m", "s", "n"].map(|column| cell(&loaded, column, row));
            if row % 2 == 0 {
                assert_eq!(
                    cells,
                    ["[{x: a, y: 1}, {x: b, y: }]", "{k: v}", "t", "1"].map(|text| Some(text.to_owned())),
                    "row {row}"
                );
            } else {
                assert_eq!(cells, [None, None, None, None], "row {row}");
                assert_eq!(cell(&loaded, "_kafka_value", row), Some(hex(payload)));
            }
        }
    }
}

#[test]
fn the_order_of_fields_does_not_matter_and_may_change() {
    let options = json_options(r#"[{"name":"a","type":"int8"},{"name":"b","type":"int8"},{"name":"c","type":"int8"}]"#);
    let payloads = [
        r#"{"a":1,"b":2,"c":3}"#,
        r#"{"c":3,"b":2,"a":1}"#,
        r#"{"c":3,"x":0,"a":1,"b":2}"#,
        r#"{"b":2}"#,
        "{\n \"b\" :\t2,\r\"a\":1 ,\"c\": 3}",
    ];
    let loaded = load_payloads(&options, &payloads);
    for row in [0, 1, 2, 4] {
        let cells = ["a", "b", "c"].map(|column| cell(&loaded, column, row).unwrap_or_default());
        assert_eq!(cells, ["1", "2", "3"], "row {row}");
    }
    assert_eq!(cell(&loaded, "b", 3).as_deref(), Some("2"));
    assert_eq!(cell(&loaded, "a", 3), None);
    let escaped = load_payloads(&one_field("int8"), &[r#"{"\u0061":5}"#]);
    assert_eq!(cell(&escaped, "a", 0).as_deref(), Some("5"));
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}
