//! Values written as Python does: the filter `tojson`, as Hugging Face has it, and `repr`.

use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{Error, ErrorKind};

use crate::client_json::NumberText;

const INDENT_MAX: usize = 64;
/// Nested values; a client's JSON has half of that.
const DEPTH_MAX: usize = 256;

/// `json.dumps` of Python, with the defaults that Hugging Face gives it: no HTML escapes, no ASCII
/// escapes, `", "` and `": "` between.
pub fn to_json(value: &Value, indent: Option<usize>, kwargs: Kwargs) -> Result<Value, Error> {
    let indent = indent.or(kwargs.get::<Option<usize>>("indent")?);
    let ascii = kwargs.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false);
    let sorted = kwargs.get::<Option<bool>>("sort_keys")?.unwrap_or(false);
    let separators = kwargs.get::<Option<Vec<String>>>("separators")?;
    kwargs.assert_all_used()?;
    let [item, key] = match separators.as_deref() {
        Some([item, key]) => [item.clone(), key.clone()],
        _ if indent.is_some() => [",".into(), ": ".into()],
        _ => [", ".into(), ": ".into()],
    };
    let mut writer = Writer {
        out: String::new(),
        item,
        key,
        indent: indent.map(|width| width.min(INDENT_MAX)),
        ascii,
        sorted,
        depth: 0,
    };
    writer.value(value)?;
    Ok(Value::from(writer.out))
}

/// With all defaults.
pub fn to_json_text(value: &Value) -> Result<String, Error> {
    let mut writer = Writer {
        out: String::new(),
        item: ", ".into(),
        key: ": ".into(),
        indent: None,
        ascii: false,
        sorted: false,
        depth: 0,
    };
    writer.value(value)?;
    Ok(writer.out)
}

struct Writer {
    out: String,
    item: String,
    key: String,
    indent: Option<usize>,
    ascii: bool,
    sorted: bool,
    depth: usize,
}

fn failed(what: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, what.into())
}

impl Writer {
    fn value(&mut self, value: &Value) -> Result<(), Error> {
        match value.kind() {
            ValueKind::Undefined | ValueKind::None => self.out.push_str("null"),
            ValueKind::Bool => self.out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => self.number(value),
            ValueKind::String => self.string(value.as_str().unwrap_or_default()),
            ValueKind::Seq | ValueKind::Iterable => {
                let items: Vec<Value> = value.try_iter()?.collect();
                self.all(('[', ']'), &items, |writer, item| writer.value(item))?;
            }
            ValueKind::Map => {
                let mut entries = Vec::new();
                for key in value.try_iter()? {
                    entries.push((key_text(&key)?, value.get_item(&key)?));
                }
                if self.sorted {
                    entries.sort_by(|one, other| one.0.cmp(&other.0));
                }
                self.all(('{', '}'), &entries, |writer, (key, value)| {
                    writer.string(key);
                    let between = writer.key.clone();
                    writer.out.push_str(&between);
                    writer.value(value)
                })?;
            }
            _ => match value.downcast_object_ref::<NumberText>() {
                Some(number) => self.out.push_str(&number.0),
                None => return Err(failed(format!("{} is not JSON", value.kind()))),
            },
        }
        Ok(())
    }

    fn all<T>(
        &mut self,
        (open, close): (char, char),
        items: &[T],
        each: impl Fn(&mut Self, &T) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if self.depth == DEPTH_MAX {
            return Err(failed(format!("JSON nested deeper than {DEPTH_MAX}")));
        }
        self.out.push(open);
        self.depth += 1;
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                let between = self.item.clone();
                self.out.push_str(&between);
            }
            self.new_line();
            each(self, item)?;
        }
        self.depth -= 1;
        if !items.is_empty() {
            self.new_line();
        }
        self.out.push(close);
        Ok(())
    }

    fn new_line(&mut self) {
        if let Some(width) = self.indent {
            self.out.push('\n');
            self.out.extend(std::iter::repeat_n(' ', width * self.depth));
        }
    }

    fn number(&mut self, value: &Value) {
        match f64::try_from(value.clone()).ok().filter(|_| !value.is_integer()) {
            Some(number) if number.is_finite() => self.out.push_str(&format!("{number:?}")),
            Some(number) if number.is_nan() => self.out.push_str("NaN"),
            Some(number) => {
                self.out.push_str(if number < 0.0 { "-Infinity" } else { "Infinity" });
            }
            None => self.out.push_str(&value.to_string()),
        }
    }

    fn string(&mut self, text: &str) {
        self.out.push('"');
        for c in text.chars() {
            match c {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\u{8}' => self.out.push_str("\\b"),
                '\u{c}' => self.out.push_str("\\f"),
                c if (c as u32) < 0x20 => self.escape(c),
                // Our own markers (`stand_in`) stay what they are.
                c if !self.ascii || c.is_ascii() || is_marker(c) => self.out.push(c),
                c => self.escape(c),
            }
        }
        self.out.push('"');
    }

    fn escape(&mut self, c: char) {
        for unit in c.encode_utf16(&mut [0; 2]) {
            self.out.push_str(&format!("\\u{unit:04x}"));
        }
    }
}

fn is_marker(c: char) -> bool {
    ('\u{FDD0}'..='\u{FDD2}').contains(&c)
}

fn key_text(key: &Value) -> Result<String, Error> {
    match key.kind() {
        ValueKind::String => Ok(key.as_str().unwrap_or_default().to_string()),
        ValueKind::Number => Ok(key.to_string()),
        ValueKind::Bool => Ok(if key.is_true() { "true" } else { "false" }.to_string()),
        ValueKind::None => Ok("null".to_string()),
        other => Err(failed(format!("a key of JSON is {other}"))),
    }
}

/// What Python prints for a list or a dict: `{'a': [1, None]}`.
pub fn python_repr(value: &Value) -> Result<String, Error> {
    let mut out = String::new();
    write_repr(value, 0, &mut out)?;
    Ok(out)
}

fn write_repr(value: &Value, depth: usize, out: &mut String) -> Result<(), Error> {
    if depth > DEPTH_MAX {
        return Err(failed(format!("a value nested deeper than {DEPTH_MAX}")));
    }
    match value.kind() {
        ValueKind::String => {
            let text = value.as_str().unwrap_or_default();
            let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
            out.push(quote);
            for c in text.chars() {
                match c {
                    '\\' => out.push_str("\\\\"),
                    '\n' => out.push_str("\\n"),
                    '\r' => out.push_str("\\r"),
                    '\t' => out.push_str("\\t"),
                    c if c == quote => out.extend(['\\', c]),
                    c if c.is_ascii_control() => out.push_str(&format!("\\x{:02x}", c as u32)),
                    c => out.push(c),
                }
            }
            out.push(quote);
        }
        ValueKind::Seq => {
            out.push('[');
            for (index, item) in value.try_iter()?.enumerate() {
                out.push_str(if index > 0 { ", " } else { "" });
                write_repr(&item, depth + 1, out)?;
            }
            out.push(']');
        }
        ValueKind::Map => {
            out.push('{');
            for (index, key) in value.try_iter()?.enumerate() {
                out.push_str(if index > 0 { ", " } else { "" });
                write_repr(&key, depth + 1, out)?;
                out.push_str(": ");
                write_repr(&value.get_item(&key)?, depth + 1, out)?;
            }
            out.push('}');
        }
        _ => out.push_str(&value.to_string()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use minijinja::{context, Environment};

    #[test]
    fn lists_and_dicts_print_as_in_python() {
        let value = minijinja::Value::from_serialize(
            serde_json::json!({"a": [1, 2.5, true, null], "b": {"c'": "d\n", "e": "it's"}}),
        );
        assert_eq!(
            super::python_repr(&value).unwrap(),
            r#"{'a': [1, 2.5, True, None], 'b': {"c'": 'd\n', 'e': "it's"}}"#
        );
    }

    fn render(source: &str) -> String {
        let value = serde_json::json!({"b": "é<", "a": [1, 2.5, true, null], "o": {}});
        let mut environment = Environment::new();
        environment.add_filter("tojson", super::to_json);
        environment.render_str(source, context! { value }).unwrap()
    }

    #[test]
    fn json_is_written_as_python_does() {
        assert_eq!(
            render("{{ value | tojson }}"),
            r#"{"b": "é<", "a": [1, 2.5, true, null], "o": {}}"#
        );
        assert_eq!(
            render("{{ value.a | tojson(indent=2) }}"),
            "[\n  1,\n  2.5,\n  true,\n  null\n]"
        );
        assert_eq!(
            render(
                "{{ value | tojson(sort_keys=true, ensure_ascii=true, separators=(',', ':')) }}"
            ),
            r#"{"a":[1,2.5,true,null],"b":"\u00e9<","o":{}}"#
        );
    }
}
