//! Environment variables as settings, behind a trait so that tests need not touch the process's own.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::report::Mistake;

/// Where variables are looked up.
pub trait Environment {
    /// All variables that are text, in any order.
    fn variables(&self) -> Vec<(String, String)>;

    /// One variable.
    fn get(&self, name: &str) -> Option<String> {
        self.variables().into_iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }
}

/// The process's own environment.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    fn variables(&self) -> Vec<(String, String)> {
        let text = |(key, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((key.into_string().ok()?, value.into_string().ok()?))
        };
        std::env::vars_os().filter_map(text).collect()
    }
}

/// A fixed set of variables; empty by default.
#[derive(Clone, Debug, Default)]
pub struct FixedEnvironment(pub BTreeMap<String, String>);

impl Environment for FixedEnvironment {
    fn variables(&self) -> Vec<(String, String)> {
        self.0.clone().into_iter().collect()
    }
}

const PREFIX: &str = "OUTDIAL__";

/// Lays the variables over the settings. Values stay text: a number is read where one is wanted, so that a token of digits
/// is never rewritten. Answers which key came from which variable.
pub(super) fn overlay(
    settings: &mut Table,
    environment: &dyn Environment,
    mistakes: &mut Vec<Mistake>,
) -> BTreeMap<String, String> {
    let mut variables = environment.variables();
    variables.retain(|(name, _)| name.starts_with(PREFIX));
    variables.sort();
    let mut origins = BTreeMap::new();
    for (name, value) in variables {
        let steps: Vec<String> = name[PREFIX.len()..].split("__").map(str::to_ascii_lowercase).collect();
        match place(settings, &steps, value) {
            Some(path) => {
                origins.insert(path, name);
            }
            None => {
                mistakes.push(Mistake { place: name, problem: "names no key of the configuration".into() })
            }
        }
    }
    origins
}

/// Puts a value at a path of keys and indexes; `None` where the path runs through something that is neither.
fn place(settings: &mut Table, steps: &[String], value: String) -> Option<String> {
    let (first, rest) = steps.split_first()?;
    if first.is_empty() {
        return None;
    }
    let mut path = first.clone();
    let mut at = if rest.is_empty() {
        settings.insert(first.clone(), Value::String(value));
        return Some(path);
    } else {
        let empty = if rest[0].parse::<usize>().is_ok() {
            Value::Array(Vec::new())
        } else {
            Value::Table(Table::new())
        };
        settings.entry(first.clone()).or_insert(empty)
    };
    for (depth, step) in rest.iter().enumerate() {
        let last = depth + 1 == rest.len();
        let slot = match at {
            Value::Array(items) => {
                let index: usize = step.parse().ok()?;
                path.push_str(&format!("[{index}]"));
                if index == items.len() {
                    items.push(Value::Table(Table::new()));
                }
                items.get_mut(index)?
            }
            Value::Table(table) if !step.is_empty() => {
                path.push_str(&format!(".{step}"));
                let numbered = rest.get(depth + 1).is_some_and(|next| next.parse::<usize>().is_ok());
                let empty = if numbered { Value::Array(Vec::new()) } else { Value::Table(Table::new()) };
                table.entry(step.clone()).or_insert(empty)
            }
            _ => return None,
        };
        if last {
            *slot = Value::String(value);
            return Some(path);
        }
        at = slot;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn overlaid(toml: &str, variables: &[(&str, &str)]) -> (Table, Vec<Mistake>) {
        let mut table: Table = toml.parse().unwrap();
        let fixed = variables.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let mut mistakes = Vec::new();
        overlay(&mut table, &FixedEnvironment(fixed), &mut mistakes);
        (table, mistakes)
    }

    #[test]
    fn reaches_into_sections_and_lists_and_keeps_text() {
        let (table, mistakes) = overlaid(
            "[store]\nurl = 'sqlite:a'\n[[accounts]]\nid = 'a'\n",
            &[
                ("OUTDIAL__STORE__URL", "sqlite:b"),
                ("OUTDIAL__ACCOUNTS__0__TOKEN", "00123456"),
                ("HOME", "/"),
            ],
        );
        assert!(mistakes.is_empty());
        assert_eq!(table["store"]["url"].as_str(), Some("sqlite:b"));
        assert_eq!(table["accounts"][0]["token"].as_str(), Some("00123456"));
        assert_eq!(table["accounts"][0]["id"].as_str(), Some("a"));
    }

    #[test]
    fn adds_the_next_of_a_list_and_refuses_a_hole() {
        let variables = [("OUTDIAL__ACCOUNTS__0__ID", "a"), ("OUTDIAL__ACCOUNTS__5__ID", "b")];
        let (table, mistakes) = overlaid("", &variables);
        assert_eq!(table["accounts"][0]["id"].as_str(), Some("a"));
        assert_eq!(mistakes.len(), 1);
        assert_eq!(mistakes[0].place, "OUTDIAL__ACCOUNTS__5__ID");
    }
}
