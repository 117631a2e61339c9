//! What a template does with what it is given, found out by rendering probes.

use crate::chat_template::{Now, Program};
use crate::conversation::{Block, Conversation, Message, Role, Scene, Style, Tool};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Abilities {
    pub takes_system: bool,
    pub takes_tools: bool,
    pub takes_tool_history: bool,
    pub has_thinking_switch: bool,
}

const NOW: Now = [2024, 1, 1, 0, 0, 0, 1, 1];
/// Words that no template writes by itself.
const SYSTEM: &str = "Qz7system";
const QUESTION: &str = "Qz7question";
const ANSWER: &str = "Qz7answer";
const TOOL: &str = "Qz7tool";
const TEXT: &str = "Qz7text";
const KEYS: [&str; 2] = ["Qz7key", "Qz7other"];
const VALUES: [&str; 2] = ["Qz7value", "Qz7thing"];
const RESULTS: [&str; 2] = ["Qz7result", "Qz7outcome"];
const IDS: [&str; 2] = ["toolu_Qz7AbcDefGhiJklMnoPqr", "toolu_Qz7BcdEfgHijKlmNopQrs"];

/// What the template can do, and how it wants it.
pub fn probe(program: &Program) -> (Abilities, Style) {
    let probe = Probe { program };
    let mut style = Style::default();
    style.tools_undefined = probe.wants_tools_undefined();
    let takes_system = probe.shows_system(&style);
    let mut takes_tools = probe.shows_tools(&style);
    if !takes_tools {
        let in_system = Style { tools_in_system: true, ..style };
        takes_tools = probe.shows_tools(&in_system);
        style.tools_in_system = takes_tools;
    }
    let history_style = probe.history_style(&style);
    let abilities = Abilities {
        takes_system,
        takes_tools,
        takes_tool_history: history_style.is_some(),
        has_thinking_switch: probe.has_thinking_switch(&style),
    };
    let mut style = history_style.unwrap_or(style);
    style.system_in_user = !takes_system;
    (abilities, style)
}

struct Probe<'a> {
    program: &'a Program,
}

fn message(role: Role, text: &str) -> Message {
    Message { role, blocks: vec![Block::Text(text.to_string())] }
}

fn asked(messages: Vec<Message>) -> Conversation {
    Conversation { messages, ..Conversation::default() }
}

fn tools() -> Vec<Tool> {
    vec![Tool {
        name: TOOL.to_string(),
        description: "Does nothing.".to_string(),
        input_schema: r#"{"type": "object", "properties": {}}"#.to_string(),
    }]
}

/// A question, `calls` calls beside `text`, their results, an answer, and another question.
fn history(text: &str, calls: usize) -> Conversation {
    let mut blocks = Vec::new();
    if !text.is_empty() {
        blocks.push(Block::Text(text.to_string()));
    }
    let called = (0..calls).map(|i| Block::ToolUse {
        id: IDS[i].to_string(),
        name: TOOL.to_string(),
        input: format!(r#"{{"{}": "{}"}}"#, KEYS[i], VALUES[i]),
    });
    blocks.extend(called);
    let results = (0..calls).map(|i| Block::ToolResult {
        id: IDS[i].to_string(),
        name: TOOL.to_string(),
        text: RESULTS[i].to_string(),
    });
    let messages = vec![
        message(Role::User, QUESTION),
        Message { role: Role::Assistant, blocks },
        Message { role: Role::User, blocks: results.collect() },
        message(Role::Assistant, ANSWER),
        message(Role::User, QUESTION),
    ];
    Conversation { messages, tools: tools(), enable_thinking: None }
}

impl Probe<'_> {
    fn render(&self, conversation: &Conversation, style: &Style) -> Option<String> {
        let scene = Scene::new(conversation, style).ok()?;
        self.program.render(&scene.turns, &scene, style, true, NOW).ok()
    }

    /// Hugging Face gives `none` where there are no tools, some templates expect nothing at all.
    fn wants_tools_undefined(&self) -> bool {
        let plain = asked(vec![message(Role::User, QUESTION)]);
        let rendered = |tools_undefined| {
            let style = Style { tools_undefined, ..Style::default() };
            self.render(&plain, &style)
        };
        rendered(false).is_none() && rendered(true).is_some()
    }

    /// False where the template refuses a system message, or drops it without a word.
    fn shows_system(&self, style: &Style) -> bool {
        let messages = vec![message(Role::System, SYSTEM), message(Role::User, "x")];
        self.render(&asked(messages), style).is_some_and(|text| text.contains(SYSTEM))
    }

    fn shows_tools(&self, style: &Style) -> bool {
        let mut conversation = asked(vec![message(Role::User, QUESTION)]);
        conversation.tools = tools();
        let rendered = self.render(&conversation, style);
        rendered.is_some_and(|text| text.contains(TOOL) && text.contains(QUESTION))
    }

    fn has_thinking_switch(&self, style: &Style) -> bool {
        let rendered = |enable_thinking| {
            let mut conversation = asked(vec![message(Role::User, QUESTION)]);
            conversation.enable_thinking = Some(enable_thinking);
            self.render(&conversation, style)
        };
        matches!((rendered(true), rendered(false)), (Some(on), Some(off)) if on != off)
    }

    /// Nothing where calls or results do not show, whatever their form.
    fn history_style(&self, base: &Style) -> Option<Style> {
        let one = history("", 1);
        let forms = (0..4).map(|bits| Style {
            short_ids: bits & 1 != 0,
            arguments_as_text: bits & 2 != 0,
            ..*base
        });
        let mut style = forms.filter_map(|form| self.with_content(&one, form)).next()?;
        if !self.shows_history(&history(TEXT, 1), &style, TEXT, 1) {
            // Where it never shows, one message is as good as two.
            let apart = Style { text_apart: true, ..style };
            if self.shows_history(&history(TEXT, 1), &apart, TEXT, 1) {
                style = apart;
            }
        }
        style.single_calls = !self.shows_history(&history("", 2), &style, "", 2);
        Some(style)
    }

    /// A message with calls alone has the content "", or none where that says less: nothing then
    /// stands for the empty text, and no "None" for none.
    fn with_content(&self, one: &Conversation, form: Style) -> Option<Style> {
        let none = Style { content_is_none: true, ..form };
        let length = |style: &Style| {
            let shows = self.shows_history(one, style, "", 1);
            shows.then(|| self.render(one, style).map_or(usize::MAX, |text| text.len()))
        };
        match (length(&form), length(&none)) {
            (Some(with_text), Some(without)) if without < with_text => Some(none),
            (Some(_), _) => Some(form),
            (None, Some(_)) => Some(none),
            (None, None) => None,
        }
    }

    fn shows_history(
        &self,
        conversation: &Conversation,
        style: &Style,
        text: &str,
        calls: usize,
    ) -> bool {
        let Some(rendered) = self.render(conversation, style) else { return false };
        // A dict printed as Python does, or a string in quotes again, is not what was meant.
        let is_whole = |key: &str| {
            !rendered.contains(&format!("'{key}'")) && !rendered.contains(&format!("\\\"{key}"))
        };
        rendered.contains(text)
            && rendered.contains(ANSWER)
            && (0..calls).all(|i| {
                let shows =
                    [TOOL, VALUES[i], RESULTS[i]].iter().all(|word| rendered.contains(word));
                shows && is_whole(KEYS[i])
            })
    }
}
