//! The system message of a call.

use crate::{
    llm::Conversation,
    types::{Message, Part, Role},
};

/// The conversation with text added to its leading system message.
pub(in crate::workflow) fn with_system(
    messages: &Conversation,
    added: Option<&str>,
) -> Conversation {
    let Some(added) = added else { return messages.clone() };
    let mut all = messages.to_vec();
    match all.first_mut() {
        Some(first) if first.role == Role::System => first.parts.push(Part::Text(added.to_owned())),
        _ => all.insert(0, Message::text(Role::System, added)),
    }
    all.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn added_text_joins_the_leading_system_message_or_becomes_it() {
        let user = Message::text(Role::User, "hi");
        let bare = Conversation::from(vec![user.clone()]);
        assert_eq!(with_system(&bare, None)[..], bare[..]);
        let added = with_system(&bare, Some("Be brief."));
        assert_eq!(added[0], Message::text(Role::System, "Be brief."));
        let led = Conversation::from(vec![Message::text(Role::System, "You are kind."), user]);
        let joined = with_system(&led, Some("Be brief."));
        assert_eq!(
            (joined.len(), joined[0].joined_text().as_str()),
            (2, "You are kind.\nBe brief.")
        );
    }
}
