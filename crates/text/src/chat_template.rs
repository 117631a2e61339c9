//! Messages to a prompt, with a client's text kept apart from the template's.
//!
//! How a client's text cannot become a special token, whatever a template does to it:
//! 1. In the template's source (and its `bos_token`, `eos_token`) every spelling of a special token
//!    is replaced by its stand-in (`stand_in`), which no text from outside can hold. Only stand-ins
//!    are special tokens to the tokenizer, so what the template cuts, joins or searches in a
//!    client's text is the true text, and the prompt is tokenized whole, as Hugging Face does it.
//! 2. A template may put a spelling together itself (`'<|' + message.role + '|>'`). So where the
//!    rendered text still spells special tokens, it is rendered once more with these spellings
//!    broken in all client text, after each first and before each last character: a spelling that
//!    is then still whole has both its ends from the template, and becomes a stand-in.

use std::borrow::Cow;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use minijinja::value::Value;
use minijinja::{context, Environment, Error};

use crate::environment::{self, raised, NOW, TEMPLATE};
use crate::error::{Result, Status, TextError};
use crate::limits;
use crate::stand_in::{without_markers, BREAK, OPEN_END};
use crate::tokenizer::Core;

const SOURCE_BYTES_MAX: usize = 1 << 20;
const OUTPUT_BYTES_MAX: usize = crate::tokenizer::TEXT_BYTES_MAX;
/// Between system text and what it is put in front of.
const PARAGRAPH: &str = "\n\n";
/// Memory of one rendering, and for each byte of source and text; a plain template takes about six
/// times its text. Time: 400 kB of text take 2 ms.
const MEMORY_BYTES: usize = 16 << 20;
const MEMORY_PER_BYTE: usize = 64;
const TIME_MAX: Duration = Duration::from_secs(8);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    System,
    User,
    Assistant,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub role: Role,
    pub text: String,
}

/// See `environment::strftime_now`.
pub type Now = [i32; 8];

pub struct ChatTemplate(Arc<Shared>);

struct Shared {
    source: String,
    bos_token: String,
    eos_token: String,
    /// Compiled for the tokenizer that asked last: in practice there is one.
    bound: Mutex<Option<Arc<Bound>>>,
    /// It went over a limit once, and is not run again.
    is_given_up: AtomicBool,
}

/// A template whose special tokens are those of one tokenizer.
struct Bound {
    core: Arc<Core>,
    environment: Environment<'static>,
    bos_token: String,
    eos_token: String,
    takes_system: bool,
}

fn corrupt(error: &Error) -> TextError {
    TextError::corrupt(format!("chat template: {error}"))
}

fn failed(error: &Error) -> TextError {
    match raised(error) {
        Some(message) => TextError::invalid(format!("the chat template refused: {message}")),
        None => TextError::internal(format!("chat template: {error}")),
    }
}

impl ChatTemplate {
    pub fn compile(source: &str, bos_token: &str, eos_token: &str) -> Result<Self> {
        if source.len() > SOURCE_BYTES_MAX {
            return Err(TextError::corrupt(format!(
                "chat template of {} bytes, at most {SOURCE_BYTES_MAX} are possible",
                source.len()
            )));
        }
        environment::compile(source).map_err(|error| corrupt(&error))?;
        Ok(Self(Arc::new(Shared {
            source: source.to_string(),
            bos_token: bos_token.to_string(),
            eos_token: eos_token.to_string(),
            bound: Mutex::new(None),
            is_given_up: AtomicBool::new(false),
        })))
    }

    /// The prompt, special tokens as stand-ins of `core`.
    pub fn render(&self, core: &Arc<Core>, messages: Vec<Message>, now: Now) -> Result<String> {
        let given_up = || TextError::internal("chat template: over its limits of memory or time");
        if self.0.is_given_up.load(Ordering::Relaxed) {
            return Err(given_up());
        }
        let text_bytes: usize = messages.iter().map(|message| message.text.len()).sum();
        let (shared, core) = (self.0.clone(), core.clone());
        let memory = MEMORY_BYTES + MEMORY_PER_BYTE * (text_bytes + shared.source.len());
        let rendered = limits::run(memory, TIME_MAX, move || shared.render(&core, messages, now))?;
        rendered.unwrap_or_else(|| {
            self.0.is_given_up.store(true, Ordering::Relaxed);
            Err(given_up())
        })
    }
}

impl Shared {
    fn render(&self, core: &Arc<Core>, mut messages: Vec<Message>, now: Now) -> Result<String> {
        let bound = self.bind(core)?;
        for message in &mut messages {
            if let Cow::Owned(text) = without_markers(&message.text) {
                message.text = text;
            }
        }
        merge_adjacent(&mut messages, |role| role == Role::System, PARAGRAPH);
        if !bound.takes_system {
            move_system_into_user(&mut messages);
        }
        let result = bound.render_apart(&messages, now);
        // The Messages API combines turns of one role; templates that insist on alternation are not
        // asked to know that.
        let is_refusal = matches!(&result, Err(error) if error.status == Status::InvalidRequest);
        if is_refusal && merge_adjacent(&mut messages, |_| true, "\n") {
            return bound.render_apart(&messages, now);
        }
        result
    }

    fn bind(&self, core: &Arc<Core>) -> Result<Arc<Bound>> {
        let lock = || self.bound.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let is_for_core = |bound: &&Arc<Bound>| Arc::ptr_eq(&bound.core, core);
        if let Some(bound) = lock().as_ref().filter(is_for_core) {
            return Ok(bound.clone());
        }
        // Not under the lock: the template runs here, and may never return (`limits`).
        let fresh = Arc::new(Bound::new(self, core)?);
        let mut current = lock();
        if let Some(bound) = current.as_ref().filter(is_for_core) {
            return Ok(bound.clone());
        }
        *current = Some(fresh.clone());
        Ok(fresh)
    }
}

impl Bound {
    fn new(template: &Shared, core: &Arc<Core>) -> Result<Self> {
        let source = core.stand_ins.sanitize(&template.source);
        let source = core.stand_ins.parse_template(&source);
        let variable = |token: &str| {
            let stand_in = core.stand_ins.stand_in_of(token);
            stand_in.unwrap_or_else(|| without_markers(token).into_owned())
        };
        let mut bound = Self {
            core: core.clone(),
            environment: environment::compile(&source).map_err(|error| corrupt(&error))?,
            bos_token: variable(&template.bos_token),
            eos_token: variable(&template.eos_token),
            takes_system: true,
        };
        bound.takes_system = bound.is_system_text_kept();
        Ok(bound)
    }

    /// False where the template refuses a system message, or drops it without a word.
    fn is_system_text_kept(&self) -> bool {
        const PROBE: &str = "Qz7probe";
        let message = |role, text: &str| Message { role, text: text.to_string() };
        let messages = [message(Role::System, PROBE), message(Role::User, "x")];
        let rendered = self.render_once(&messages, true, [2024, 1, 1, 0, 0, 0, 1, 1]);
        matches!(rendered, Ok(text) if text.contains(PROBE))
    }

    /// Step 2 of the rule above.
    fn render_apart(&self, messages: &[Message], now: Now) -> Result<String> {
        let text = self.render_open_ended(messages, now)?;
        let spelled = self.core.stand_ins.spelled_in(&text);
        if spelled.is_empty() {
            return Ok(text);
        }
        let spellings = self.core.stand_ins.spellings();
        let first: Vec<char> =
            spelled.iter().filter_map(|&i| spellings[i].chars().next()).collect();
        let last: Vec<char> = spelled.iter().filter_map(|&i| spellings[i].chars().last()).collect();
        let broken: Vec<Message> = messages
            .iter()
            .map(|message| Message {
                role: message.role,
                text: broken(&message.text, &first, &last),
            })
            .collect();
        let rendered = self.render_open_ended(&broken, now)?;
        match self.core.stand_ins.parse(&rendered) {
            // The template spells none itself.
            Cow::Borrowed(_) => Ok(text),
            Cow::Owned(parsed) => Ok(parsed.replace(BREAK, "")),
        }
    }

    /// A trailing assistant message is to be continued: nothing follows its text.
    fn render_open_ended(&self, messages: &[Message], now: Now) -> Result<String> {
        let Some((last, before)) = messages.split_last().filter(|(m, _)| m.role == Role::Assistant)
        else {
            return self.render_once(messages, true, now).map_err(|error| failed(&error));
        };
        let mut marked = messages.to_vec();
        if let Some(message) = marked.last_mut() {
            message.text.push(OPEN_END);
        }
        let rendered = self.render_once(&marked, false, now).map_err(|error| failed(&error))?;
        if let Some(end) = rendered.rfind(OPEN_END) {
            return Ok(rendered[..end].replace(OPEN_END, ""));
        }
        // The template leaves the message out: open an answer, and put the text there.
        let opened = self.render_once(before, true, now).map_err(|error| failed(&error))?;
        Ok(opened + &last.text)
    }

    fn render_once(
        &self,
        messages: &[Message],
        add_generation_prompt: bool,
        now: Now,
    ) -> std::result::Result<String, Error> {
        let messages: Vec<Value> = messages
            .iter()
            .map(|message| context! { role => message.role.name(), content => message.text })
            .collect();
        let context = context! {
            messages,
            add_generation_prompt,
            bos_token => self.bos_token,
            eos_token => self.eos_token,
            tools => (),
            documents => (),
            ..Value::from_iter([(NOW, Value::from(now.to_vec()))])
        };
        let mut output = BoundedOutput(Vec::new());
        self.environment.get_template(TEMPLATE)?.render_captured_to(context, &mut output)?;
        Ok(String::from_utf8_lossy(&output.0).into_owned())
    }
}

/// Stops a template that writes without end.
struct BoundedOutput(Vec<u8>);

impl io::Write for BoundedOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > OUTPUT_BYTES_MAX {
            return Err(io::Error::other(format!("output of more than {OUTPUT_BYTES_MAX} bytes")));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn broken(text: &str, first: &[char], last: &[char]) -> String {
    let mut result = String::with_capacity(text.len());
    for c in text.chars() {
        if last.contains(&c) {
            result.push(BREAK);
        }
        result.push(c);
        if first.contains(&c) {
            result.push(BREAK);
        }
    }
    result
}

/// Joins neighbours of one role; true where there were any.
fn merge_adjacent(
    messages: &mut Vec<Message>,
    which: impl Fn(Role) -> bool,
    between: &str,
) -> bool {
    let before = messages.len();
    let mut merged: Vec<Message> = Vec::with_capacity(before);
    for message in messages.drain(..) {
        match merged.last_mut().filter(|last| last.role == message.role && which(message.role)) {
            Some(last) => {
                last.text.push_str(between);
                last.text.push_str(&message.text);
            }
            None => merged.push(message),
        }
    }
    *messages = merged;
    messages.len() < before
}

/// System text goes in front of the first user message after it.
fn move_system_into_user(messages: &mut Vec<Message>) {
    while let Some(at) = messages.iter().position(|message| message.role == Role::System) {
        let system = messages.remove(at);
        match messages[at..].iter_mut().find(|message| message.role == Role::User) {
            Some(user) => user.text = [&system.text, PARAGRAPH, &user.text].concat(),
            None => messages.insert(at, Message { role: Role::User, text: system.text }),
        }
    }
}
