//! JSON Schema of a file format, for editors.
//!
//! From the descriptions of the reading code, so that a schema cannot disagree with it. By hand: the crates that derive schemas read
//! Rust types, while the formats here are told by the functions that read them. What no schema says (a sum of shares, a reference to a
//! region) `squall check` does.

use serde_json::{Value, json};

use super::{Description, FileKind, Form, Presence};

/// The JSON Schema (2020-12) of files of a kind, from every key of them.
#[must_use]
pub fn schema(kind: FileKind, keys: &[Description]) -> Value {
    let mut schema = table();
    for key in keys {
        add(&mut schema, &key.path, key);
    }
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    schema["title"] = format!("Squall: a file of kind `{}`", kind.name()).into();
    schema["properties"]["kind"]["enum"] = json!([kind.name()]);
    schema
}

/// Adds a key to the table that its path leads to. Tables are described before what is in them.
fn add(table: &mut Value, path: &str, key: &Description) {
    let Some((outer, rest)) = path.split_once('.') else {
        table["properties"][path] = property(key);
        if let (Presence::Required, Some(required)) = (&key.presence, table["required"].as_array_mut()) {
            required.push(path.into());
        }
        return;
    };
    let inner = match outer.strip_suffix("[]") {
        Some(name) => &mut table["properties"][name]["items"],
        None => &mut table["properties"][outer],
    };
    add(inner, rest, key);
}

fn property(key: &Description) -> Value {
    let mut property = form(&key.form);
    property["description"] = meaning(key).into();
    match &key.presence {
        Presence::Required if matches!(key.form, Form::Tables | Form::List(_)) => {
            property["minItems"] = 1.into();
        }
        // What TOML writes for these is JSON too: a quoted text without escapes, a number, a boolean.
        Presence::Default(default) => {
            if let Ok(default) = serde_json::from_str::<Value>(default) {
                property["default"] = default;
            }
        }
        _ => {}
    }
    property
}

fn meaning(key: &Description) -> String {
    match key.form {
        Form::Table | Form::Tables => key.doc.to_owned(),
        _ => format!("{} {}, for example {}.", key.doc, capitalised(&key.noun), key.forms),
    }
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn table() -> Value {
    json!({ "type": "object", "properties": {}, "required": [], "additionalProperties": false })
}

fn form(form: &Form) -> Value {
    match form {
        Form::Table => table(),
        Form::Tables => json!({ "type": "array", "items": table() }),
        Form::List(item) => json!({ "type": "array", "items": self::form(item) }),
        Form::Boolean => json!({ "type": "boolean" }),
        Form::Number => json!({ "type": "number" }),
        Form::Integer { least, most } => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Form::Choice(names) => json!({ "type": "string", "enum": names }),
        // TOML's own date and time; editors and this schema see its text.
        Form::Moment => json!({ "type": "string", "format": "date-time" }),
        Form::Text { pattern, or_number } => {
            let mut text =
                json!({ "type": if *or_number { json!(["string", "number"]) } else { "string".into() } });
            if let Some(pattern) = pattern {
                text["pattern"] = (*pattern).into();
            }
            text
        }
    }
}
