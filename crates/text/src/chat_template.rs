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

use crate::abilities::{self, Abilities};
use crate::conversation::{
    merge_adjacent, merge_text_into_results, move_system_into_user, Conversation, Role, Scene,
    Style, Turn, PARAGRAPH,
};
use crate::environment::{self, raised, NOW, TEMPLATE};
use crate::error::{Result, Status, TextError};
use crate::limits::{self, LeftBehind, Limits};
use crate::python_json::to_json_text;
use crate::stand_in::{without_markers, BREAK, OPEN_END};
use crate::tokenizer::Core;

const SOURCE_BYTES_MAX: usize = 1 << 20;
const OUTPUT_BYTES_MAX: usize = crate::tokenizer::TEXT_BYTES_MAX;
/// Memory of one rendering, and for each byte of source and text; a plain template takes about six
/// times its text. Time: 400 kB of text take 2 ms.
const MEMORY_BYTES: usize = 16 << 20;
const MEMORY_PER_BYTE: usize = 64;
const TIME_MAX: Duration = Duration::from_secs(8);
const STACK_BYTES: usize = 8 << 20;
static GIVEN_UP: LeftBehind = LeftBehind::new("chat templates");

/// For this much of source and text.
fn limits_for(size: usize) -> Limits {
    Limits {
        bytes: MEMORY_BYTES + MEMORY_PER_BYTE * size,
        time: TIME_MAX,
        stack_bytes: STACK_BYTES,
        left_behind: &GIVEN_UP,
    }
}

/// See `environment::strftime_now`.
pub type Now = [i32; 8];

pub struct ChatTemplate(Arc<Shared>);

struct Shared {
    source: String,
    bos_token: String,
    eos_token: String,
    abilities: Abilities,
    style: Style,
    /// Compiled for the tokenizer that asked last: in practice there is one.
    bound: Mutex<Option<Arc<Bound>>>,
    /// It went over a limit once, and is not run again.
    is_given_up: AtomicBool,
}

/// A compiled template and what it is rendered with.
pub struct Program {
    environment: Environment<'static>,
    bos_token: String,
    eos_token: String,
}

/// A template whose special tokens are those of one tokenizer.
struct Bound {
    core: Arc<Core>,
    program: Program,
    style: Style,
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
        let program = Program::new(source, bos_token.into(), eos_token.into())?;
        let probed =
            limits::run_within(limits_for(source.len()), move || abilities::probe(&program))?;
        let is_given_up = AtomicBool::new(probed.is_none());
        let (abilities, style) = probed.unwrap_or_default();
        Ok(Self(Arc::new(Shared {
            source: source.to_string(),
            bos_token: bos_token.to_string(),
            eos_token: eos_token.to_string(),
            abilities,
            style,
            bound: Mutex::new(None),
            is_given_up,
        })))
    }

    pub fn abilities(&self) -> Abilities {
        self.0.abilities
    }

    /// The prompt, special tokens as stand-ins of `core`.
    pub fn render(&self, core: &Arc<Core>, conversation: Conversation, now: Now) -> Result<String> {
        let given_up = || TextError::internal("chat template: over its limits of memory or time");
        if self.0.is_given_up.load(Ordering::Relaxed) {
            return Err(given_up());
        }
        let text_bytes = conversation.text_bytes();
        let (shared, core) = (self.0.clone(), core.clone());
        let limits = limits_for(text_bytes + shared.source.len());
        let rendered =
            limits::run_within(limits, move || shared.render(&core, &conversation, now))?;
        rendered.unwrap_or_else(|| {
            self.0.is_given_up.store(true, Ordering::Relaxed);
            Err(given_up())
        })
    }
}

impl Shared {
    fn render(&self, core: &Arc<Core>, conversation: &Conversation, now: Now) -> Result<String> {
        let bound = self.bind(core)?;
        let mut scene = Scene::new(conversation, &self.style)?;
        merge_adjacent(&mut scene.turns, |role| role == Role::System, PARAGRAPH);
        if self.style.system_in_user {
            move_system_into_user(&mut scene.turns);
        }
        let is_refusal = |result: &Result<String>| matches!(result, Err(error) if error.status == Status::InvalidRequest);
        let mut result = bound.render_apart(&scene, now);
        // The Messages API combines turns of one role, and knows text behind results; templates
        // that insist on alternation are not asked to know that.
        let joins_turns = |role| role != Role::Tool;
        if is_refusal(&result) && merge_adjacent(&mut scene.turns, joins_turns, "\n") {
            result = bound.render_apart(&scene, now);
        }
        if is_refusal(&result) && merge_text_into_results(&mut scene.turns) {
            result = bound.render_apart(&scene, now);
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

impl Program {
    pub fn new(source: &str, bos_token: String, eos_token: String) -> Result<Self> {
        let environment = environment::compile(source).map_err(|error| corrupt(&error))?;
        Ok(Self { environment, bos_token, eos_token })
    }

    pub fn render(
        &self,
        turns: &[Turn],
        scene: &Scene,
        style: &Style,
        add_generation_prompt: bool,
        now: Now,
    ) -> std::result::Result<String, Error> {
        let functions = &scene.functions;
        let in_system = match style.tools_in_system && !functions.is_empty() {
            true => Some(to_json_text(&functions.iter().map(|f| f.inner_value()).collect())?),
            false => None,
        };
        let in_turn = |index| in_system.as_deref().filter(|_| index == 0);
        let messages: Vec<Value> =
            turns.iter().enumerate().map(|(i, turn)| turn.to_value(style, in_turn(i))).collect();
        let tools = match (functions.is_empty(), style.tools_undefined) {
            (true, true) => Value::UNDEFINED,
            (true, false) => Value::from(()),
            (false, _) => functions.iter().map(|f| f.to_value()).collect(),
        };
        let thinking = scene.enable_thinking.map_or(Value::UNDEFINED, Value::from);
        let context = context! {
            messages,
            add_generation_prompt,
            bos_token => self.bos_token,
            eos_token => self.eos_token,
            tools,
            documents => (),
            enable_thinking => thinking,
            thinking,
            ..Value::from_iter([(NOW, Value::from(now.to_vec()))])
        };
        let mut output = BoundedOutput(Vec::new());
        self.environment.get_template(TEMPLATE)?.render_captured_to(context, &mut output)?;
        Ok(String::from_utf8_lossy(&output.0).into_owned())
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
        let (bos, eos) = (variable(&template.bos_token), variable(&template.eos_token));
        let program = Program::new(&source, bos, eos)?;
        Ok(Self { core: core.clone(), program, style: template.style })
    }

    /// Step 2 of the rule above.
    fn render_apart(&self, scene: &Scene, now: Now) -> Result<String> {
        let text = self.render_open_ended(scene, now)?;
        let spelled = self.core.stand_ins.spelled_in(&text);
        if spelled.is_empty() {
            return Ok(text);
        }
        let spellings = self.core.stand_ins.spellings();
        let first: Vec<char> =
            spelled.iter().filter_map(|&i| spellings[i].chars().next()).collect();
        let last: Vec<char> = spelled.iter().filter_map(|&i| spellings[i].chars().last()).collect();
        let broken = scene.map_texts(&|text| broken(text, &first, &last));
        let rendered = self.render_open_ended(&broken, now)?;
        match self.core.stand_ins.parse(&rendered) {
            // The template spells none itself.
            Cow::Borrowed(_) => Ok(text),
            Cow::Owned(parsed) => Ok(parsed.replace(BREAK, "")),
        }
    }

    /// A trailing assistant message is to be continued: nothing follows its text.
    fn render_open_ended(&self, scene: &Scene, now: Now) -> Result<String> {
        let render = |turns: &[Turn], add_generation_prompt| {
            self.program
                .render(turns, scene, &self.style, add_generation_prompt, now)
                .map_err(|error| failed(&error))
        };
        let is_open = |turn: &Turn| turn.role == Role::Assistant && turn.calls.is_empty();
        let Some((last, before)) = scene.turns.split_last().filter(|(last, _)| is_open(last))
        else {
            return render(&scene.turns, true);
        };
        let mut marked = scene.turns.clone();
        if let Some(turn) = marked.last_mut() {
            turn.text.push(OPEN_END);
        }
        let rendered = render(&marked, false)?;
        if let Some(end) = rendered.rfind(OPEN_END) {
            return Ok(rendered[..end].replace(OPEN_END, ""));
        }
        // The template leaves the message out: open an answer, and put the text there.
        Ok(render(before, true)? + &last.text)
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
