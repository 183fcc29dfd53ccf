//! The document, changed from outside.

use aws_sdk_ssm::types::{ResourceTypeForTagging, Tag};

use super::Made;
use crate::support::{aws::OTHER_DOCUMENT, deployed::Deployed, example::DOCUMENT};

pub(super) async fn another_content(deployed: &Deployed) -> Made {
    let ssm = &deployed.aws.ssm;
    let request = ssm.update_document().name(DOCUMENT).content(OTHER_DOCUMENT).document_version("$LATEST");
    let version = request.send().await?.document_description.unwrap().document_version.unwrap();
    ssm.update_document_default_version().name(DOCUMENT).document_version(version).send().await?;
    Ok(())
}

pub(super) async fn tag(deployed: &Deployed, key: &str) -> Made {
    let tag = Tag::builder().key(key).value("x").build()?;
    let request = deployed.aws.ssm.add_tags_to_resource().resource_type(ResourceTypeForTagging::Document);
    request.resource_id(DOCUMENT).tags(tag).send().await?;
    Ok(())
}
