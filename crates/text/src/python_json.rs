//! The filter `tojson`, as Hugging Face has it.

use std::collections::BTreeMap;

use minijinja::value::{Kwargs, Value};
use minijinja::{Error, ErrorKind};
use serde::Serialize;

const INDENT_MAX: usize = 64;

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
    let failed = |error: serde_json::Error| {
        Error::new(ErrorKind::InvalidOperation, "cannot serialize to JSON").with_source(error)
    };
    let mut json = serde_json::to_value(value).map_err(failed)?;
    if sorted {
        sort_keys(&mut json);
    }
    let format = PythonFormat {
        item,
        key,
        indent: indent.map(|width| width.min(INDENT_MAX)),
        ascii,
        depth: 0,
        has_value: false,
    };
    let mut out = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, format);
    json.serialize(&mut serializer).map_err(failed)?;
    Ok(Value::from(String::from_utf8_lossy(&out).into_owned()))
}

fn sort_keys(json: &mut serde_json::Value) {
    match json {
        serde_json::Value::Object(object) => {
            object.values_mut().for_each(sort_keys);
            let sorted: BTreeMap<_, _> = std::mem::take(object).into_iter().collect();
            object.extend(sorted);
        }
        serde_json::Value::Array(array) => array.iter_mut().for_each(sort_keys),
        _ => {}
    }
}

struct PythonFormat {
    item: String,
    key: String,
    indent: Option<usize>,
    ascii: bool,
    depth: usize,
    has_value: bool,
}

impl PythonFormat {
    fn new_line<W: ?Sized + std::io::Write>(&self, writer: &mut W) -> std::io::Result<()> {
        let Some(width) = self.indent else { return Ok(()) };
        write!(writer, "\n{:width$}", "", width = width * self.depth)
    }

    fn open<W: ?Sized + std::io::Write>(
        &mut self,
        w: &mut W,
        bracket: &[u8],
    ) -> std::io::Result<()> {
        self.depth += 1;
        self.has_value = false;
        w.write_all(bracket)
    }

    fn close<W: ?Sized + std::io::Write>(
        &mut self,
        w: &mut W,
        bracket: &[u8],
    ) -> std::io::Result<()> {
        self.depth -= 1;
        if self.has_value {
            self.new_line(w)?;
        }
        self.has_value = true;
        w.write_all(bracket)
    }

    fn next<W: ?Sized + std::io::Write>(&mut self, w: &mut W, first: bool) -> std::io::Result<()> {
        if !first {
            w.write_all(self.item.as_bytes())?;
        }
        self.new_line(w)
    }
}

impl serde_json::ser::Formatter for PythonFormat {
    fn begin_array<W: ?Sized + std::io::Write>(&mut self, w: &mut W) -> std::io::Result<()> {
        self.open(w, b"[")
    }
    fn end_array<W: ?Sized + std::io::Write>(&mut self, w: &mut W) -> std::io::Result<()> {
        self.close(w, b"]")
    }
    fn begin_array_value<W: ?Sized + std::io::Write>(
        &mut self,
        w: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        self.next(w, first)
    }
    fn end_array_value<W: ?Sized + std::io::Write>(&mut self, _: &mut W) -> std::io::Result<()> {
        self.has_value = true;
        Ok(())
    }
    fn begin_object<W: ?Sized + std::io::Write>(&mut self, w: &mut W) -> std::io::Result<()> {
        self.open(w, b"{")
    }
    fn end_object<W: ?Sized + std::io::Write>(&mut self, w: &mut W) -> std::io::Result<()> {
        self.close(w, b"}")
    }
    fn begin_object_key<W: ?Sized + std::io::Write>(
        &mut self,
        w: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        self.next(w, first)
    }
    fn begin_object_value<W: ?Sized + std::io::Write>(&mut self, w: &mut W) -> std::io::Result<()> {
        w.write_all(self.key.as_bytes())
    }
    fn end_object_value<W: ?Sized + std::io::Write>(&mut self, _: &mut W) -> std::io::Result<()> {
        self.has_value = true;
        Ok(())
    }
    fn write_string_fragment<W: ?Sized + std::io::Write>(
        &mut self,
        w: &mut W,
        fragment: &str,
    ) -> std::io::Result<()> {
        if !self.ascii {
            return w.write_all(fragment.as_bytes());
        }
        for c in fragment.chars() {
            // Our own markers (`stand_in`) stay what they are.
            if c.is_ascii() || ('\u{FDD0}'..='\u{FDD2}').contains(&c) {
                write!(w, "{c}")?;
            } else {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    write!(w, "\\u{unit:04x}")?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use minijinja::{context, Environment};

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
