//! A conversation in the form that Hugging Face gives its templates.

use minijinja::value::Value;

use crate::client_json::Json;
use crate::error::{Result, TextError};
use crate::stand_in::without_markers;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    System,
    User,
    Assistant,
    /// A tool's answer; only templates know this role.
    Tool,
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Role::System => "system",
            Role::User => "user",
            Role::Assistant => "assistant",
            Role::Tool => "tool",
        }
    }
}

/// One part of a message, as it came.
#[derive(Clone, Debug)]
pub enum Block {
    Text(String),
    Thinking(String),
    ToolUse { id: String, name: String, input: String },
    ToolResult { id: String, name: String, text: String },
}

#[derive(Clone, Debug)]
pub struct Message {
    pub role: Role,
    pub blocks: Vec<Block>,
}

#[derive(Clone, Debug)]
pub struct Tool {
    pub name: String,
    pub description: String,
    pub input_schema: String,
}

#[derive(Clone, Debug, Default)]
pub struct Conversation {
    pub messages: Vec<Message>,
    pub tools: Vec<Tool>,
    pub enable_thinking: Option<bool>,
}

impl Conversation {
    pub fn text_bytes(&self) -> usize {
        let of_block = |block: &Block| match block {
            Block::Text(text) | Block::Thinking(text) => text.len(),
            Block::ToolUse { id, name, input } => id.len() + name.len() + input.len(),
            Block::ToolResult { id, name, text } => id.len() + name.len() + text.len(),
        };
        let of_tool =
            |tool: &Tool| tool.name.len() + tool.description.len() + tool.input_schema.len();
        self.messages.iter().flat_map(|message| &message.blocks).map(of_block).sum::<usize>()
            + self.tools.iter().map(of_tool).sum::<usize>()
    }
}

/// What a template wants to be given, found out by probes (`abilities`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// System text goes in front of the user's.
    pub system_in_user: bool,
    /// `tools` is undefined where there are none.
    pub tools_undefined: bool,
    /// The tools are a string of JSON in the system message (Phi 4 mini).
    pub tools_in_system: bool,
    /// Ids of calls are nine letters and digits (Mistral).
    pub short_ids: bool,
    /// Arguments are a string of JSON (DeepSeek R1).
    pub arguments_as_text: bool,
    /// A message with calls has no `content` at all (DeepSeek R1).
    pub content_is_none: bool,
    /// Text beside calls is a message of its own.
    pub text_apart: bool,
    /// One call in a message, its result behind it (Llama 3).
    pub single_calls: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    pub id: String,
    pub name: String,
    pub arguments: Json,
    pub arguments_text: String,
}

/// A message as a template sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    pub role: Role,
    pub text: String,
    pub thinking: String,
    pub calls: Vec<Call>,
    /// Of the tool and the call that this answers.
    pub name: String,
    pub call_id: String,
}

impl Turn {
    pub fn new(role: Role, text: impl Into<String>) -> Self {
        Self {
            role,
            text: text.into(),
            thinking: String::new(),
            calls: Vec::new(),
            name: String::new(),
            call_id: String::new(),
        }
    }

    pub fn map_texts(&self, change: &dyn Fn(&str) -> String) -> Self {
        let of_call = |call: &Call| Call {
            id: change(&call.id),
            name: change(&call.name),
            arguments: call.arguments.map_texts(change),
            arguments_text: change(&call.arguments_text),
        };
        Self {
            role: self.role,
            text: change(&self.text),
            thinking: change(&self.thinking),
            calls: self.calls.iter().map(of_call).collect(),
            name: change(&self.name),
            call_id: change(&self.call_id),
        }
    }

    /// `tools`, if any, are part of the message.
    pub fn to_value(&self, style: &Style, tools: Option<&str>) -> Value {
        let is_none = style.content_is_none && self.text.is_empty() && !self.calls.is_empty();
        let content = if is_none { Value::from(()) } else { Value::from(self.text.as_str()) };
        let mut entries = vec![("role", Value::from(self.role.name())), ("content", content)];
        if !self.thinking.is_empty() {
            entries.push(("reasoning_content", Value::from(self.thinking.as_str())));
        }
        if !self.calls.is_empty() {
            let calls = self.calls.iter().map(|call| call.to_value(style));
            entries.push(("tool_calls", Value::from_iter(calls)));
        }
        entries.extend(tools.map(|tools| ("tools", Value::from(tools))));
        if self.role == Role::Tool {
            if !self.name.is_empty() {
                entries.push(("name", Value::from(self.name.as_str())));
            }
            entries.push(("tool_call_id", Value::from(self.call_id.as_str())));
        }
        Value::from_iter(entries)
    }
}

impl Call {
    fn to_value(&self, style: &Style) -> Value {
        let arguments = match style.arguments_as_text {
            true => Value::from(self.arguments_text.as_str()),
            false => self.arguments.to_value(),
        };
        let function = [("name", Value::from(self.name.as_str())), ("arguments", arguments)];
        Value::from_iter([
            ("id", Value::from(self.id.as_str())),
            ("type", Value::from("function")),
            ("function", Value::from_iter(function)),
        ])
    }
}

/// A tool as a template sees it.
#[derive(Clone, Debug)]
pub struct Function {
    pub name: String,
    pub description: String,
    pub parameters: Json,
}

impl Function {
    pub fn map_texts(&self, change: &dyn Fn(&str) -> String) -> Self {
        Self {
            name: change(&self.name),
            description: change(&self.description),
            parameters: self.parameters.map_texts(change),
        }
    }

    pub fn to_value(&self) -> Value {
        let function = [("type", Value::from("function")), ("function", self.inner_value())];
        Value::from_iter(function)
    }

    /// Without the wrapper that says that it is a function.
    pub fn inner_value(&self) -> Value {
        Value::from_iter([
            ("name", Value::from(self.name.as_str())),
            ("description", Value::from(self.description.as_str())),
            ("parameters", self.parameters.to_value()),
        ])
    }
}

/// All that a template sees of a conversation.
#[derive(Clone, Debug)]
pub struct Scene {
    pub turns: Vec<Turn>,
    pub functions: Vec<Function>,
    pub enable_thinking: Option<bool>,
}

impl Scene {
    /// None of our markers is in it.
    pub fn new(conversation: &Conversation, style: &Style) -> Result<Self> {
        let mut turns = Vec::new();
        for message in &conversation.messages {
            add_turns(message, &mut turns)?;
        }
        let functions = conversation.tools.iter().map(function).collect::<Result<Vec<_>>>()?;
        let scene = Self { turns, functions, enable_thinking: conversation.enable_thinking };
        let mut scene = scene.map_texts(&|text| without_markers(text).into_owned());
        if style.short_ids {
            scene.turns.iter_mut().for_each(shorten_ids);
        }
        let first = scene.turns.first().map(|turn| turn.role);
        let needs_system = style.tools_in_system && !scene.functions.is_empty();
        if needs_system && first != Some(Role::System) {
            scene.turns.insert(0, Turn::new(Role::System, ""));
        }
        if style.text_apart {
            put_text_apart(&mut scene.turns);
        }
        if style.single_calls {
            put_calls_in_turn(&mut scene.turns);
        }
        Ok(scene)
    }

    pub fn map_texts(&self, change: &dyn Fn(&str) -> String) -> Self {
        Self {
            turns: self.turns.iter().map(|turn| turn.map_texts(change)).collect(),
            functions: self.functions.iter().map(|f| f.map_texts(change)).collect(),
            enable_thinking: self.enable_thinking,
        }
    }
}

fn function(tool: &Tool) -> Result<Function> {
    let parameters = match tool.input_schema.is_empty() {
        true => Json::empty_object(),
        false => Json::parse(&tool.input_schema).map_err(|error| {
            TextError::invalid(format!("the schema of the tool {}: {error}", tool.name))
        })?,
    };
    Ok(Function { name: tool.name.clone(), description: tool.description.clone(), parameters })
}

/// Results become messages of their own, in front of the text.
fn add_turns(message: &Message, turns: &mut Vec<Turn>) -> Result<()> {
    let mut turn = Turn::new(message.role, "");
    let mut texts: Vec<&str> = Vec::new();
    let mut thoughts: Vec<&str> = Vec::new();
    let mut has_results = false;
    for block in &message.blocks {
        match block {
            Block::Text(text) => texts.push(text),
            Block::Thinking(text) => thoughts.push(text),
            Block::ToolUse { id, name, input } => turn.calls.push(call(id, name, input)?),
            Block::ToolResult { id, name, text } => {
                has_results = true;
                let mut result = Turn::new(Role::Tool, text.as_str());
                (result.name, result.call_id) = (name.clone(), id.clone());
                turns.push(result);
            }
        }
    }
    turn.text = texts.join("\n");
    turn.thinking = thoughts.join("\n");
    if !(has_results && texts.is_empty() && turn.calls.is_empty()) {
        turns.push(turn);
    }
    Ok(())
}

fn call(id: &str, name: &str, input: &str) -> Result<Call> {
    let input = if input.is_empty() { "{}" } else { input };
    let arguments = Json::parse(input)
        .map_err(|error| TextError::invalid(format!("the input of a call of {name}: {error}")))?;
    Ok(Call { id: id.into(), name: name.into(), arguments, arguments_text: input.into() })
}

fn shorten_ids(turn: &mut Turn) {
    turn.calls.iter_mut().for_each(|call| call.id = short_id(&call.id));
    if turn.role == Role::Tool {
        turn.call_id = short_id(&turn.call_id);
    }
}

/// Nine letters and digits, the same ones for an id in every prompt. FNV-1a.
fn short_id(id: &str) -> String {
    const LENGTH: usize = 9;
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    if id.len() == LENGTH && id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return id.to_string();
    }
    let mut hash = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let digit = |_| {
        let digit = DIGITS[(hash % 36) as usize];
        hash /= 36;
        char::from(digit)
    };
    (0..LENGTH).map(digit).collect()
}

fn put_text_apart(turns: &mut Vec<Turn>) {
    let mut apart = Vec::with_capacity(turns.len());
    for mut turn in turns.drain(..) {
        if !turn.calls.is_empty() && !turn.text.is_empty() {
            let mut text = Turn::new(turn.role, std::mem::take(&mut turn.text));
            text.thinking = std::mem::take(&mut turn.thinking);
            apart.push(text);
        }
        apart.push(turn);
    }
    *turns = apart;
}

/// [calls a b, result a, result b] becomes [call a, result a, call b, result b].
fn put_calls_in_turn(turns: &mut Vec<Turn>) {
    let mut result: Vec<Turn> = Vec::with_capacity(turns.len());
    let mut rest = std::mem::take(turns).into_iter().peekable();
    while let Some(mut turn) = rest.next() {
        if turn.calls.len() < 2 {
            result.push(turn);
            continue;
        }
        let mut answers = Vec::new();
        while let Some(answer) = rest.next_if(|next| next.role == Role::Tool) {
            answers.push(answer);
        }
        for call in std::mem::take(&mut turn.calls) {
            let answer = answers.iter().position(|answer| answer.call_id == call.id);
            let mut single = Turn::new(turn.role, std::mem::take(&mut turn.text));
            single.thinking = std::mem::take(&mut turn.thinking);
            single.calls.push(call);
            result.push(single);
            result.extend(answer.map(|at| answers.remove(at)));
        }
        result.append(&mut answers);
    }
    *turns = result;
}

/// Between system text and what it is put in front of.
pub const PARAGRAPH: &str = "\n\n";

/// Joins neighbours of one role; true where there were any.
pub fn merge_adjacent(turns: &mut Vec<Turn>, which: impl Fn(Role) -> bool, between: &str) -> bool {
    let before = turns.len();
    let mut merged: Vec<Turn> = Vec::with_capacity(before);
    for turn in turns.drain(..) {
        let can_join = |last: &&mut Turn| {
            // Calls stand behind the text of their message: nothing can follow them.
            last.role == turn.role && which(turn.role) && last.calls.is_empty()
        };
        match merged.last_mut().filter(can_join) {
            Some(last) => {
                join(&mut last.text, between, &turn.text);
                join(&mut last.thinking, between, &turn.thinking);
                last.calls = turn.calls;
            }
            None => merged.push(turn),
        }
    }
    *turns = merged;
    turns.len() < before
}

fn join(text: &mut String, between: &str, more: &str) {
    if !text.is_empty() && !more.is_empty() {
        text.push_str(between);
    }
    text.push_str(more);
}

/// A user's text behind results becomes part of the last result; true where there was any.
pub fn merge_text_into_results(turns: &mut Vec<Turn>) -> bool {
    let before = turns.len();
    let mut merged: Vec<Turn> = Vec::with_capacity(before);
    for turn in turns.drain(..) {
        match merged.last_mut().filter(|l| l.role == Role::Tool && turn.role == Role::User) {
            Some(last) => join(&mut last.text, PARAGRAPH, &turn.text),
            None => merged.push(turn),
        }
    }
    *turns = merged;
    turns.len() < before
}

/// System text goes in front of the first user message after it.
pub fn move_system_into_user(turns: &mut Vec<Turn>) {
    while let Some(at) = turns.iter().position(|turn| turn.role == Role::System) {
        let system = turns.remove(at);
        match turns[at..].iter_mut().find(|turn| turn.role == Role::User) {
            Some(user) => user.text = [&system.text, PARAGRAPH, &user.text].concat(),
            None => turns.insert(at, Turn::new(Role::User, system.text)),
        }
    }
}
