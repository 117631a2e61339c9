//! minijinja set up as Hugging Face sets up jinja2 for chat templates.

use std::fmt;

use minijinja::value::{Value, ValueKind};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, State};

use crate::python_json::{python_repr, to_json};

/// Instructions of one rendering. A long conversation needs some ten thousand.
const FUEL: u64 = 10_000_000;
/// Nested calls of macros; minijinja's own default of 500 needs a large stack.
const DEPTH_MAX: usize = 100;
/// The context variable that `strftime_now` reads.
pub const NOW: &str = "__onnxlocal_now";
pub const TEMPLATE: &str = "chat_template";

/// The template called `raise_exception`: what it said is meant for the caller.
#[derive(Debug)]
pub struct Raised(pub String);

impl fmt::Display for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Raised {}

/// What the template raised, where that is the cause of `error`.
pub fn raised(error: &Error) -> Option<&str> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(error);
    while let Some(current) = cause {
        if let Some(raised) = current.downcast_ref::<Raised>() {
            return Some(&raised.0);
        }
        cause = current.source();
    }
    None
}

pub fn compile(source: &str) -> Result<Environment<'static>, Error> {
    let mut environment = Environment::new();
    environment.set_trim_blocks(true);
    environment.set_lstrip_blocks(true);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(DEPTH_MAX);
    environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, message.clone()).with_source(Raised(message)))
    });
    environment.add_function("strftime_now", strftime_now);
    environment.add_filter("tojson", to_json);
    environment.add_filter("string", |value: &Value| -> Result<Value, Error> {
        match value.kind() {
            ValueKind::Map | ValueKind::Seq => Ok(Value::from(python_repr(value)?)),
            ValueKind::String => Ok(value.clone()),
            _ => Ok(Value::from(value.to_string())),
        }
    });
    environment.set_formatter(|out, state, value| match value.kind() {
        ValueKind::Map | ValueKind::Seq => Ok(out.write_str(&python_repr(value)?)?),
        _ => minijinja::escape_formatter(out, state, value),
    });
    environment.add_template_owned(TEMPLATE, without_generation_tags(source))?;
    Ok(environment)
}

/// `{% generation %}` marks, for training, what the assistant says; it renders as its body.
fn without_generation_tags(source: &str) -> String {
    let mut result = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(at) = rest.find("{%") {
        let (before, tag) = rest.split_at(at);
        result.push_str(before);
        let Some(length) = tag.find("%}").map(|end| end + 2) else {
            rest = tag;
            break;
        };
        let inside = &tag[2..length - 2];
        match inside.trim_matches(['-', '+']).trim() {
            "generation" => result.push_str(&tag[..length].replace("generation", "if true")),
            "endgeneration" => result.push_str(&tag[..length].replace("endgeneration", "endif")),
            _ => {
                result.push_str("{%");
                rest = &tag[2..];
                continue;
            }
        }
        rest = &tag[length..];
    }
    result.push_str(rest);
    result
}

const DAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// `datetime.now().strftime(format)`, in English. `NOW` is [year, month 1-12, day, hour, minute,
/// second, day of the week from Sunday, day of the year 1-366].
fn strftime_now(state: &State, format: String) -> Result<String, Error> {
    let now = state.lookup(NOW).unwrap_or_default();
    let field = |index: usize| -> Result<usize, Error> {
        let value = now.get_item_by_index(index)?;
        usize::try_from(value)
    };
    let mut result = String::new();
    let mut characters = format.chars();
    while let Some(c) = characters.next() {
        if c != '%' {
            result.push(c);
            continue;
        }
        let mut code = characters.next().unwrap_or('%');
        let is_padded = code != '-';
        if !is_padded {
            code = characters.next().unwrap_or('%');
        }
        let number = |value: usize, width: usize| match is_padded {
            true => format!("{value:0width$}"),
            false => value.to_string(),
        };
        let month = MONTHS[field(1)?.clamp(1, 12) - 1];
        let day = DAYS[field(6)?.min(6)];
        let hour_12 = (field(3)? + 11) % 12 + 1;
        result.push_str(&match code {
            'Y' => number(field(0)?, 4),
            'y' => number(field(0)? % 100, 2),
            'm' => number(field(1)?, 2),
            'd' => number(field(2)?, 2),
            'e' => format!("{:2}", field(2)?),
            'H' => number(field(3)?, 2),
            'I' => number(hour_12, 2),
            'p' => if field(3)? < 12 { "AM" } else { "PM" }.to_string(),
            'M' => number(field(4)?, 2),
            'S' => number(field(5)?, 2),
            'j' => number(field(7)?, 3),
            'A' => day.to_string(),
            'a' => day[..3].to_string(),
            'B' => month.to_string(),
            'b' | 'h' => month[..3].to_string(),
            'F' => format!("{}-{:02}-{:02}", field(0)?, field(1)?, field(2)?),
            'T' => format!("{:02}:{:02}:{:02}", field(3)?, field(4)?, field(5)?),
            '%' => "%".to_string(),
            other => format!("%{other}"),
        });
    }
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;
    use minijinja::context;

    fn render(source: &str) -> String {
        let value = serde_json::json!({"b": "é<", "a": [1, 2.5, true, null], "o": {}});
        let now = [2024, 7, 5, 13, 4, 9, 5, 187];
        let context = context! { value, ..Value::from_iter([(NOW, Value::from(now.to_vec()))]) };
        compile(source).unwrap().get_template(TEMPLATE).unwrap().render(context).unwrap()
    }

    #[test]
    fn time_is_written_as_python_does() {
        assert_eq!(
            render("{{ strftime_now('%d %b %Y, %A %I:%M %p %-d %%') }}"),
            "05 Jul 2024, Friday 01:04 PM 5 %"
        );
    }

    #[test]
    fn generation_tags_render_as_their_body() {
        assert_eq!(render("a{%- generation -%} b {% endgeneration %}c"), "ab c");
    }

    #[test]
    fn what_a_template_raises_is_told_from_other_errors() {
        let error = |source: &str| {
            let environment = compile(source).unwrap();
            let template = environment.get_template(TEMPLATE).unwrap();
            template.render(()).unwrap_err()
        };
        let nested = "{% macro m() %}{{ raise_exception('no system') }}{% endmacro %}{{ m() }}";
        assert_eq!(raised(&error(nested)), Some("no system"));
        assert_eq!(raised(&error("{{ 1 + 'a' }}")), None);
    }

    #[test]
    fn python_slices_and_methods_work() {
        assert_eq!(render("{{ [1, 2, 3][::-1] }}"), "[3, 2, 1]");
        assert_eq!(render("{{ 'a</think>b'.split('</think>')[-1].lstrip('\\n') }}"), "b");
        assert_eq!(render("{% for k, v in {'x': 1}.items() %}{{ k }}{% break %}{% endfor %}"), "x");
    }
}
