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
    let mut abilities = Abilities {
        takes_system: probe.shows_system(),
        takes_tools: probe.shows_tools(),
        takes_tool_history: false,
        has_thinking_switch: probe.has_thinking_switch(),
    };
    if let Some(found) = probe.history_style() {
        abilities.takes_tool_history = true;
        style = found;
    }
    style.system_in_user = !abilities.takes_system;
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

/// A question, `calls` calls beside `text`, and their results.
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
    ];
    Conversation { messages, tools: tools(), enable_thinking: None }
}

impl Probe<'_> {
    fn render(&self, conversation: &Conversation, style: &Style) -> Option<String> {
        let scene = Scene::new(conversation, style).ok()?;
        self.program.render(&scene.turns, &scene, style, true, NOW).ok()
    }

    /// False where the template refuses a system message, or drops it without a word.
    fn shows_system(&self) -> bool {
        let messages = vec![message(Role::System, SYSTEM), message(Role::User, "x")];
        let rendered = self.render(&asked(messages), &Style::default());
        rendered.is_some_and(|text| text.contains(SYSTEM))
    }

    fn shows_tools(&self) -> bool {
        let mut conversation = asked(vec![message(Role::User, QUESTION)]);
        conversation.tools = tools();
        let rendered = self.render(&conversation, &Style::default());
        rendered.is_some_and(|text| text.contains(TOOL) && text.contains(QUESTION))
    }

    fn has_thinking_switch(&self) -> bool {
        let rendered = |enable_thinking| {
            let mut conversation = asked(vec![message(Role::User, QUESTION)]);
            conversation.enable_thinking = Some(enable_thinking);
            self.render(&conversation, &Style::default())
        };
        matches!((rendered(true), rendered(false)), (Some(on), Some(off)) if on != off)
    }

    /// Nothing where calls or results do not show, whatever their form.
    fn history_style(&self) -> Option<Style> {
        let one = history("", 1);
        let mut style = self.forms().find(|style| self.shows_history(&one, style, "", 1))?;
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

    /// The usual form comes first.
    fn forms(&self) -> impl Iterator<Item = Style> {
        (0..8).map(|bits| Style {
            content_is_none: bits & 1 != 0,
            short_ids: bits & 2 != 0,
            arguments_as_text: bits & 4 != 0,
            ..Style::default()
        })
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
            && (0..calls).all(|i| {
                let shows =
                    [TOOL, VALUES[i], RESULTS[i]].iter().all(|word| rendered.contains(word));
                shows && is_whole(KEYS[i])
            })
    }
}
