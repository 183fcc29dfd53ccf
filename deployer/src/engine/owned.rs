//! Resources that carry tags: whether they are there, whether they are ours, and which tags they lack.
//!
//! The wrapper [`Owned`] checks the owner before a kind sees what was observed. So no kind can change or delete what this
//! deployment did not create.

use std::{collections::BTreeSet, time::Duration};

use contract::{Command, TAG_DEPLOYMENT, Text, text};
use serde::Serialize;
use tokio::time::sleep;

use crate::{
    aws::Aws,
    deployment::{Owner, TAG_ADOPTED},
    engine::{
        kind::{Aim, Context, Going, Kind},
        op::{Address, Effect, Op},
        tags::{self, Tags},
    },
    error::{Error, ErrorKind},
};

/// What a kind whose resources carry tags implements.
pub(crate) trait Tagged: Send + Sync + Sized + 'static {
    /// What the resource should be, tags aside.
    type Goal: Send + Serialize + Sync + 'static;
    /// What AWS holds, tags aside.
    type Observed: Send + 'static;
    /// The calls, those that only change tags aside.
    type Call: Send + 'static;

    /// The actions that set and remove tags.
    const TAG_ACTIONS: [&'static str; 2];
    /// As of [`Kind`].
    const CONFLICTS: &'static [&'static str];
    /// As of [`Kind`].
    const CONFLICTS_IN_WORDS: &'static [(&'static str, &'static str)] = &[];
    /// As of [`Kind`].
    const EFFECTS: &'static [Effect] = &[];
    /// Whether the create call is refused if a resource of this name is there, whosever it is.
    const IS_MADE_ONLY_IF_ABSENT: bool = true;
    /// As of [`Kind`].
    const IS_PROVEN_BY_ANSWERS: bool = false;
    /// The configuration's key that decides the resource's name.
    const NAME_KEY: &'static str;
    /// Whether a resource that no deployment owns can be taken over.
    const IS_ADOPTABLE: bool = true;

    fn address(&self) -> Address;

    /// What a user can do if a resource of this name carries no owner's tag.
    fn hint_if_not_ours(&self) -> Text {
        let (key, address) = (Self::NAME_KEY, self.address());
        format!("change {key} in the configuration, or delete {address} first if nothing uses it").into()
    }

    /// Reads, and never writes. None if there is no such resource.
    fn observe(&self, aws: &Aws) -> impl Future<Output = Result<Option<Found<Self::Observed>>, Error>> + Send;

    /// Tags beside those of the owner.
    fn further_tags(&self, _goal: &Self::Goal) -> Tags {
        Tags::new()
    }

    /// The calls that make the resource. The first one sets the tags.
    fn create(&self, goal: &Self::Goal, tags: Tags) -> Vec<(Op, Self::Call)>;

    /// The calls that lead to the goal, tags aside.
    fn update(&self, goal: &Self::Goal, found: &Found<Self::Observed>) -> Result<Vec<(Op, Self::Call)>, Error>;

    /// Refuses to take over a resource that no deployment owns but that is unfit.
    fn check_that_it_may_be_adopted(&self, _goal: &Self::Goal, _found: &Found<Self::Observed>) -> Result<(), Error> {
        Ok(())
    }

    /// What people should know before the resource is taken over.
    fn note_of_adoption(&self, _found: &Found<Self::Observed>) -> Option<Text> {
        None
    }

    /// The calls that delete the resource.
    fn delete(&self, found: &Found<Self::Observed>, going: Going<'_>) -> Result<Vec<(Op, Self::Call)>, Error>;

    /// As of [`Kind`].
    fn note(&self, _goal: &Self::Goal, _found: Option<&Found<Self::Observed>>) -> Option<Text> {
        None
    }

    /// As of [`Kind`].
    fn mention(&self, _found: &Found<Self::Observed>) -> Option<Text> {
        None
    }

    /// As of [`Kind`].
    fn foreign(&self, _goal: &Self::Goal, _found: &Found<Self::Observed>) -> Vec<Text> {
        Vec::new()
    }

    fn run(&self, context: &Context, call: Self::Call) -> impl Future<Output = Result<(), Error>> + Send;

    fn set_tags(&self, aws: &Aws, tags: Tags) -> impl Future<Output = Result<(), Error>> + Send;

    fn remove_tags(&self, aws: &Aws, keys: Vec<String>) -> impl Future<Output = Result<(), Error>> + Send;
}

/// A resource that is there.
#[derive(Debug)]
pub(crate) struct Found<Observed> {
    pub(crate) tags: Tags,
    pub(crate) observed: Observed,
}

/// What an owned resource should be.
#[derive(Serialize)]
pub(crate) struct Declared<Goal> {
    /// Tags aside.
    pub(crate) goal: Goal,
    /// Those that the owner gives to everything.
    pub(crate) tags: Tags,
    /// Keys of tags that were among these once, as the record says. Other tags are somebody else's.
    #[serde(skip)]
    pub(crate) former_tags: BTreeSet<String>,
    /// Whether an apply has made the resource, as the record says.
    #[serde(skip)]
    pub(crate) was_made: bool,
}

/// How often reads that contradict each other are made again. The bound is short, because the screen does not show this wait.
const MOST_CONTRADICTIONS: usize = 5;
const BETWEEN_CONTRADICTIONS: Duration = Duration::from_secs(1);

/// A tagged resource of a deployment.
pub(crate) struct Owned<T> {
    kind: T,
    owner: Owner,
}

impl<T> Owned<T> {
    pub(crate) fn new(kind: T, owner: &Owner) -> Self {
        Self { kind, owner: owner.clone() }
    }
}

/// A call of an owned resource.
pub(crate) enum Call<C> {
    OfKind(C),
    SetTags(Tags),
    RemoveTags(Vec<String>),
}

impl<T: Tagged> Kind for Owned<T> {
    type Goal = Declared<T::Goal>;
    type Observed = Option<Found<T::Observed>>;
    type Call = Call<T::Call>;

    const CONFLICTS: &'static [&'static str] = T::CONFLICTS;
    const CONFLICTS_IN_WORDS: &'static [(&'static str, &'static str)] = T::CONFLICTS_IN_WORDS;
    const EFFECTS: &'static [Effect] = T::EFFECTS;
    const IS_PROVEN_BY_ANSWERS: bool = T::IS_PROVEN_BY_ANSWERS;

    fn address(&self) -> Address {
        self.kind.address()
    }

    /// If one read finds the resource and another one finds it gone, one of the two is from before its last change: both are made
    /// again.
    async fn observe(&self, aws: &Aws) -> Result<Self::Observed, Error> {
        let contradicts = |error: &Error| error.code().is_some_and(|code| T::CONFLICTS.contains(&code));
        let mut observed = self.kind.observe(aws).await;
        for _ in 0..MOST_CONTRADICTIONS {
            if !observed.as_ref().is_err_and(contradicts) {
                break;
            }
            sleep(BETWEEN_CONTRADICTIONS).await;
            observed = self.kind.observe(&aws.outside_a_round()).await;
        }
        observed
    }

    fn absent(&self) -> Option<Self::Observed> {
        T::IS_MADE_ONLY_IF_ABSENT.then_some(None)
    }

    fn decide(&self, aim: Aim<'_, Self::Goal>, observed: &Self::Observed) -> Result<Vec<(Op, Self::Call)>, Error> {
        let of_kind = |ops: Vec<(Op, T::Call)>| ops.into_iter().map(|(op, call)| (op, Call::OfKind(call)));
        match (aim, observed) {
            (Aim::Absent(_), None) => Ok(Vec::new()),
            (Aim::Present(declared), None) => {
                Ok(of_kind(self.kind.create(&declared.goal, self.goal_tags(declared))).collect())
            }
            (Aim::Absent(going), Some(found)) => {
                let was_made = going.record.is_some_and(|record| record.made(&self.address()));
                if was_made && !found.tags.contains_key(TAG_DEPLOYMENT) {
                    return Err(self.lost_its_tag(&found.tags).hint(text![
                        "run ",
                        Command::deployer("apply --adopt"),
                        ", which sets the tag again, then run this command again"
                    ]));
                }
                self.check_owner(&found.tags)?;
                if self.owner.keeps(&found.tags) {
                    return Err(self.owner.is_protected());
                }
                Ok(of_kind(self.kind.delete(found, going)?).collect())
            }
            (Aim::Present(declared), Some(found)) => {
                if self.is_adopted(&found.tags) {
                    self.kind.check_that_it_may_be_adopted(&declared.goal, found)?;
                } else if declared.was_made && !found.tags.contains_key(TAG_DEPLOYMENT) {
                    return Err(self.lost_its_tag(&found.tags).hint(text![
                        "to set the tag again, run ",
                        Command::deployer("plan --adopt"),
                        ", which shows what would change, and then ",
                        Command::deployer("apply --adopt")
                    ]));
                } else {
                    self.check_owner(&found.tags).map_err(|error| or_adopt::<T>(error, &found.tags))?;
                }
                let update = of_kind(self.kind.update(&declared.goal, found)?);
                Ok(update.chain(self.tag_ops(declared, &found.tags)).collect())
            }
        }
    }

    fn note(&self, declared: Option<&Self::Goal>, observed: &Self::Observed) -> Option<Text> {
        let adopted = observed.as_ref().filter(|found| self.is_adopted(&found.tags));
        let is_ours = |found: &Found<T::Observed>| adopted.is_some() || self.check_owner(&found.tags).is_ok();
        if !observed.as_ref().is_none_or(is_ours) {
            return None;
        }
        let of_kind = self.kind.note(&declared?.goal, observed.as_ref());
        let notes: Vec<_> =
            of_kind.into_iter().chain(adopted.and_then(|found| self.kind.note_of_adoption(found))).collect();
        (!notes.is_empty()).then(|| Text::join(notes, "; "))
    }

    fn mention(&self, observed: &Self::Observed) -> Option<Text> {
        observed
            .as_ref()
            .filter(|found| self.check_owner(&found.tags).is_ok())
            .and_then(|found| self.kind.mention(found))
    }

    fn foreign(&self, declared: Option<&Self::Goal>, observed: &Self::Observed) -> Vec<Text> {
        let ours = observed.as_ref().filter(|found| self.check_owner(&found.tags).is_ok());
        declared.zip(ours).map_or_else(Vec::new, |(declared, found)| self.kind.foreign(&declared.goal, found))
    }

    async fn run(&self, context: &Context, call: Self::Call) -> Result<(), Error> {
        match call {
            Call::OfKind(call) => self.kind.run(context, call).await,
            Call::SetTags(tags) => self.kind.set_tags(&context.aws, tags).await,
            Call::RemoveTags(keys) => self.kind.remove_tags(&context.aws, keys).await,
        }
    }
}

impl<T: Tagged> Owned<T> {
    fn goal_tags(&self, declared: &Declared<T::Goal>) -> Tags {
        let mut tags = declared.tags.clone();
        tags.extend(self.kind.further_tags(&declared.goal));
        tags
    }

    fn tag_ops(&self, declared: &Declared<T::Goal>, observed: &Tags) -> Vec<(Op, Call<T::Call>)> {
        let mut goal = self.goal_tags(declared);
        let adopted = self.is_adopted(observed);
        if adopted {
            goal.insert(TAG_ADOPTED.to_owned(), "true".to_owned());
        }
        let missing = tags::missing(observed, &goal);
        let is_former = |key: &String| declared.former_tags.contains(key) && !goal.contains_key(key);
        let former = observed.iter().filter(|(key, _)| is_former(key));
        let former: Tags = former.map(|(key, value)| (key.clone(), value.clone())).collect();
        let is_the_other_case = former.keys().any(|key| missing.keys().any(|it| it.eq_ignore_ascii_case(key)));
        let [set, remove] = T::TAG_ACTIONS;
        let set = tags::set_op(set, observed, &missing);
        let set = set.map(|op| if adopted { self.adopting(op, observed) } else { op });
        let set = set.map(|op| (op, Call::SetTags(missing)));
        let remove = tags::remove_op(remove, &former).map(|op| (op, Call::RemoveTags(former.into_keys().collect())));
        // To IAM, `team` and `Team` are one tag: what is removed after it was set would be gone.
        if is_the_other_case {
            remove.into_iter().chain(set).collect()
        } else {
            set.into_iter().chain(remove).collect()
        }
    }

    /// Whether this run takes over a resource with these tags. What another deployment owns is never taken over.
    fn is_adopted(&self, tags: &Tags) -> bool {
        T::IS_ADOPTABLE && self.owner.takes_over(tags)
    }

    /// Says whose the resource was, as far as its tags tell.
    fn adopting(&self, op: Op, tags: &Tags) -> Op {
        let from = if tags.is_empty() { "(no tags)".to_owned() } else { format!("(tags: {})", tags::pairs(tags)) };
        op.with("owner", Some(from.into()), Some(self.owner.id().into())).effect(Effect::Adopts)
    }

    /// The record only explains: whose a resource is, its tag alone says.
    fn lost_its_tag(&self, tags: &Tags) -> Error {
        let tags = and_its_tags(tags);
        Error::new(format!("{} has lost its tag {TAG_DEPLOYMENT}", self.address())).of_kind(ErrorKind::NotOurs).cause(
            format!(
                "the record names it, so an apply of this deployment made it, and somebody removed the tag since{tags}"
            ),
        )
    }

    /// What a user can do beside the deployment that owns a resource of this name: `owner`, as its tag has it.
    fn ways_beside(&self, owner: &str, address: &Address) -> Vec<Text> {
        let (region, name) = owner.rsplit_once('/').unwrap_or(("", owner));
        let else_change =
            format!("else change {} in the configuration: two deployments cannot share {address}", T::NAME_KEY);
        if !region.is_empty() && region != self.owner.region() {
            let is_new = format!(
                "if this file had {region} before: in another region it is a new deployment. Change {}, apply, and give the hosts its \
                 credential; then destroy the one in {region}, with the file as it was",
                T::NAME_KEY
            );
            return vec![is_new.into(), else_change.into()];
        }
        vec![
            format!("if this file gives that deployment another name, write its name before: `moved_from: {name}`")
                .into(),
            "if that is the new name of this deployment, use its file: this one is out of date".into(),
            else_change.into(),
        ]
    }

    /// Refuses a resource of this name that the deployment does not own.
    fn check_owner(&self, tags: &Tags) -> Result<(), Error> {
        let owner = tags.get(TAG_DEPLOYMENT).map(String::as_str);
        if owner.is_some_and(|owner| self.owner.is(owner)) {
            return Ok(());
        }
        let address = self.address();
        // A hint to delete the resource would break the deployment that owns it.
        let (cause, hints) = match owner {
            Some(owner) => (format!("deployment {owner} owns it"), self.ways_beside(owner, &address)),
            None => (is_of_nobody(tags), vec![self.kind.hint_if_not_ours()]),
        };
        let error = Error::new(format!("{address} exists, but this deployment does not own it"));
        let error = error.of_kind(ErrorKind::NotOurs).cause(cause);
        Err(hints.into_iter().fold(error, Error::hint))
    }
}

/// Names the owner, as far as the tags of other tools tell: CloudFormation sets its stack's name, and many Terraform modules a tag.
fn is_of_nobody(tags: &Tags) -> String {
    format!("it carries no tag {TAG_DEPLOYMENT}, so this tool did not make it{}", and_its_tags(tags))
}

fn and_its_tags(tags: &Tags) -> String {
    if tags.is_empty() { String::new() } else { format!("; its tags are {}", tags::pairs(tags)) }
}

/// Offers to take over what no deployment owns.
fn or_adopt<T: Tagged>(error: Error, tags: &Tags) -> Error {
    if !T::IS_ADOPTABLE || tags.contains_key(TAG_DEPLOYMENT) {
        return error;
    }
    error.hint(text![
        "to take it over, with what it holds, run ",
        Command::deployer("plan --adopt"),
        ": the plan shows what would change"
    ])
}
