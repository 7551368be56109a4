//! `${VAR}` and `${VAR:-default}` inside text values, after parsing: no value can break the file's syntax, and keys stay
//! as they are written.

use serde_json::Value;

use super::mistake::{Mistakes, join};

/// Text in which no variable stands, as it has to be written to come out of [`expand`] as it is.
pub fn literal(text: &str) -> String {
    text.replace("${", "$${")
}

/// The tree at this key with every variable replaced. `$${` stands for a literal `${`.
pub(super) fn expand(key: &str, tree: &Value, variable: &dyn Fn(&str) -> Option<String>, mistakes: &Mistakes) -> Value {
    match tree {
        Value::String(text) => match expand_text(text, variable) {
            Ok(text) => Value::String(text),
            Err(problem) => {
                mistakes.add(key, Some(tree), problem);
                Value::String(text.clone())
            }
        },
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(place, item)| expand(&format!("{key}[{place}]"), item, variable, mistakes))
            .collect(),
        Value::Object(table) => table
            .iter()
            .map(|(name, value)| (name.clone(), expand(&join(key, name), value, variable, mistakes)))
            .collect(),
        other => other.clone(),
    }
}

fn expand_text(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, inside) = (&rest[..at], &rest[at + 2..]);
        if let Some(before) = before.strip_suffix('$') {
            expanded.push_str(before);
            expanded.push_str("${");
            rest = inside;
            continue;
        }
        expanded.push_str(before);
        let Some(end) = inside.find('}') else {
            return Err("${ without its }; write $${ for a literal ${".to_owned());
        };
        expanded.push_str(&value_of(&inside[..end], variable)?);
        rest = &inside[end + 1..];
    }
    expanded.push_str(rest);
    Ok(expanded)
}

/// As in a shell, `:-` also stands in for a variable that is set to nothing.
fn value_of(expression: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let (name, default) = match expression.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (expression, None),
    };
    let is_name = !name.is_empty()
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    if !is_name {
        // It may be a default, which may be a secret, that lost the sign before it.
        return Err(
            "what stands in ${ } is no name of an environment variable, which has letters, digits and _ only; a \
                    default comes behind :-"
                .to_owned(),
        );
    }
    match (variable(name), default) {
        (Some(value), None) => Ok(value),
        (Some(value), Some(_)) if !value.is_empty() => Ok(value),
        (_, Some(default)) => Ok(default.to_owned()),
        (None, None) => {
            Err(format!("the environment variable {name} is not set; set it or write ${{{name}:-default}}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variable(name: &str) -> Option<String> {
        match name {
            "HOST" => Some("kafka-1".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    #[test]
    fn variables_and_defaults_stand_in_for_their_text() {
        assert_eq!(expand_text("${HOST}:9092", &variable).as_deref(), Ok("kafka-1:9092"));
        assert_eq!(expand_text("${PORT:-9092}", &variable).as_deref(), Ok("9092"));
        assert_eq!(expand_text("${EMPTY:-x}${EMPTY}", &variable).as_deref(), Ok("x"));
        assert_eq!(expand_text("a$b $${HOST}", &variable).as_deref(), Ok("a$b ${HOST}"));
    }

    #[test]
    fn what_is_written_literally_stays_as_it_is() {
        for text in ["", "$", "${", "$${", "$$${HOST}", "${HOST}", "a${b}c", "${HOST:-x}", "$$", "{$}"] {
            assert_eq!(expand_text(&literal(text), &variable).as_deref(), Ok(text));
        }
    }

    #[test]
    fn an_unset_variable_is_named() {
        let problem = expand_text("${PORT}", &variable).expect_err("it is not set");
        assert!(problem.contains("PORT is not set"), "{problem}");
        assert!(expand_text("${PORT", &variable).is_err());
        assert!(expand_text("${a b}", &variable).is_err());
    }
}
