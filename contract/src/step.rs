//! The steps of a rotation.

use std::fmt;

/// One of the four steps in which Secrets Manager rotates a secret (Secrets Manager user guide, "Lambda rotation functions").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Make the new credential and store it as AWSPENDING.
    Create,
    /// Prove it and tell every host.
    Set,
    /// Send a mail with it.
    Test,
    /// Make it AWSCURRENT.
    Finish,
}

impl Step {
    /// In their order.
    pub const ALL: [Self; 4] = [Self::Create, Self::Set, Self::Test, Self::Finish];

    /// Both spellings: the service sends the first, and the guide's text also has the second.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "createSecret" | "create_secret" => Self::Create,
            "setSecret" | "set_secret" => Self::Set,
            "testSecret" | "test_secret" => Self::Test,
            "finishSecret" | "finish_secret" => Self::Finish,
            _ => return None,
        })
    }

    /// The name as Secrets Manager spells it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "createSecret",
            Self::Set => "setSecret",
            Self::Test => "testSecret",
            Self::Finish => "finishSecret",
        }
    }

    /// The step that comes after this one.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        Self::ALL.into_iter().skip_while(|step| *step != self).nth(1)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_in_both_spellings_and_the_steps_follow_one_another() {
        for (step, other) in Step::ALL.into_iter().zip(["create_secret", "set_secret", "test_secret", "finish_secret"])
        {
            assert_eq!((Step::parse(step.name()), Step::parse(other)), (Some(step), Some(step)));
        }
        assert_eq!(Step::parse("deleteSecret"), None);
        assert_eq!(Step::ALL.map(Step::next), [Some(Step::Set), Some(Step::Test), Some(Step::Finish), None]);
    }
}
