//! An IAM user that the configuration declares existing. It gets one tag of ours: the secret that it serves. Its keys stay
//! when the deployment is destroyed.

use contract::TAG_SECRET;

use crate::{
    aws::Aws,
    engine::{
        kind::{Aim, Context, Kind},
        op::{Address, Op, ResourceKind},
        tags::{self, Tags},
    },
    error::{Error, FailedTo as _, absent_is_none},
    kinds::iam,
};

pub(crate) struct ReferencedUser {
    pub(crate) name: String,
    /// The tag's value: `<region>/<secret name>`.
    pub(crate) serves: String,
    /// Whether the deployment goes: then the user need not be there.
    pub(crate) going: bool,
}

pub(crate) enum Call {
    Claim,
    Release,
}

impl Kind for ReferencedUser {
    type Goal = ();
    /// The user's tags; none if there is no user.
    type Observed = Option<Tags>;
    type Call = Call;

    const CONFLICTS: &'static [&'static str] = iam::CONFLICTS;

    fn address(&self) -> Address {
        Address::new(ResourceKind::User, &self.name)
    }

    async fn observe(&self, aws: &Aws) -> Result<Option<Tags>, Error> {
        let answer = aws.iam.get_user().user_name(&self.name).send().await;
        let answer = answer.failed_to(|| format!("read user {}", self.name));
        let user = absent_is_none(answer, &["NoSuchEntity"])?.and_then(|answer| answer.user);
        if user.is_none()
            && !self.going
            && let Some(spelled) = iam::user_in_other_letters(aws, &self.name).await
        {
            return Err(iam::in_other_letters(&self.address().to_string(), &spelled, "iam_user.name"));
        }
        Ok(user.map(|user| iam::read_tags(user.tags)))
    }

    fn decide(&self, aim: Aim<'_, ()>, observed: &Option<Tags>) -> Result<Vec<(Op, Call)>, Error> {
        match (aim, observed) {
            (Aim::Present(()), None) => {
                Err(Error::new(format!("user {} is declared existing but does not exist", self.name))
                    .hint("correct iam_user.name, or remove existing: true so that apply creates the user"))
            }
            (Aim::Absent { .. }, None) => Ok(Vec::new()),
            (Aim::Present(()), Some(tags)) => self.claim(tags),
            (Aim::Absent { .. }, Some(tags)) => Ok(self.release(tags)),
        }
    }

    async fn run(&self, context: &Context, call: Call) -> Result<(), Error> {
        let (client, name) = (&context.aws.iam, &self.name);
        match call {
            Call::Claim => {
                let tags = Tags::from([(TAG_SECRET.to_owned(), self.serves.clone())]);
                let request = client.tag_user().user_name(name).set_tags(Some(iam::tags(&tags)));
                request.send().await.failed_to(|| format!("tag user {name}")).map(drop)
            }
            Call::Release => {
                let request = client.untag_user().user_name(name).tag_keys(TAG_SECRET);
                request.send().await.failed_to(|| format!("untag user {name}")).map(drop)
            }
        }
    }
}

impl ReferencedUser {
    fn claim(&self, tags: &Tags) -> Result<Vec<(Op, Call)>, Error> {
        match tags.get(TAG_SECRET) {
            Some(secret) if *secret == self.serves => Ok(Vec::new()),
            Some(secret) => Err(Error::new(format!("user {} serves another secret", self.name))
                .cause(format!("its tag {TAG_SECRET} is {secret}, not {}", self.serves))
                .hint("use one user per secret: the rotations of two secrets would delete each other's keys")),
            None => {
                let missing = Tags::from([(TAG_SECRET.to_owned(), self.serves.clone())]);
                Ok(tags::set_op("iam:TagUser", tags, &missing).map(|op| (op, Call::Claim)).into_iter().collect())
            }
        }
    }

    fn release(&self, tags: &Tags) -> Vec<(Op, Call)> {
        let ours = tags.iter().filter(|(key, value)| *key == TAG_SECRET && **value == self.serves);
        let ours = ours.map(|(key, value)| (key.clone(), value.clone())).collect();
        tags::remove_op("iam:UntagUser", &ours).map(|op| (op, Call::Release)).into_iter().collect()
    }
}
