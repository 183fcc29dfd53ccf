//! What others write into the secret.

use serde_json::json;

use crate::support::{
    deployed::Deployed,
    example::SECRET,
    rotation::{CREATE, Failure},
    shown::assert_shown,
};

/// A rotation from this value fails with this error before it touches any key. A rotation from the value before completes.
async fn fails_with(value: &str, kind: &str, state: &str) -> Failure {
    let deployed = Deployed::new().await;
    let good = deployed.labelled("AWSCURRENT").await.unwrap();
    let bad = deployed.put(value).await;
    let before = deployed.mark();

    let failure = deployed.rotate().await.failed(CREATE, kind);

    deployed.touched_no_key(before);
    deployed.told_no_host(before);
    deployed.shows(state).await;
    deployed.move_label("AWSCURRENT", Some(&good)).await;
    deployed.completes_when_tried_again().await;
    // A label that is left on the bad version stops no later rotation.
    assert_eq!(deployed.labelled("AWSPREVIOUS").await, Some(good));
    deployed.completes().await;
    assert_ne!(deployed.labelled("AWSPREVIOUS").await, Some(bad));
    failure
}

#[tokio::test]
async fn the_secret_holds_malformed_json() {
    fails_with(r#"{"username": "mail-prod-smtp", "#, "MalformedSecret", "malformed_json")
        .await
        .says(&["AWSCURRENT", "no key was made or deleted"]);
}

#[tokio::test]
async fn the_secret_holds_foreign_json() {
    let foreign = r#"{"engine": "postgres", "host": "db.example.com", "password": "somebody-elses"}"#;
    let failure = fails_with(foreign, "MalformedSecret", "foreign_json").await;
    failure.says(&["the field username of the secret's value is missing", "the fields engine, host, password"]);
    failure.says(&["iam_user_arn, AccessKeyId, SMTPPassword and username"]);
    assert!(!failure.text.contains("somebody-elses"), "{failure:?}");
}

#[tokio::test]
async fn the_secret_is_in_the_shape_of_another_tool() {
    let other_tool =
        r#"{"username": "AKIAIOSFODNN7EXAMPLE", "password": "of-the-other-tool", "host": "h", "port": 465}"#;
    let failure = fails_with(other_tool, "SecretOfAnotherUser", "shape_of_another_tool").await;
    failure.says(&[
        "the field username",
        "is the access key id AKIAIOSFODNN7EXAMPLE",
        "must be the name of the IAM user",
    ]);
    assert!(!failure.text.contains("of-the-other-tool"), "{failure:?}");
}

#[tokio::test]
async fn fields_that_programs_read_are_warned_of_and_once_they_are_mapped_no_version_has_an_old_one() {
    const FIELDS: &str =
        "fields: {SMTP_USERNAME: access_key_id, SMTP_PASSWORD: smtp_password, host: smtp_host, port: smtp_port}";
    let deployed = Deployed::new().await;
    let mut value = deployed.sandbox.secret("AWSCURRENT").await;
    value.other.insert("SMTP_USERNAME".to_owned(), &value.access_key_id.clone().into());
    value.other.insert("SMTP_PASSWORD".to_owned(), &value.smtp_password.clone().into());
    deployed.put(&value.to_json()).await;

    let plan = deployed.run(&["plan"]).expect(0);

    assert_shown!("fields_that_are_not_mapped", &deployed.sandbox, &plan.stdout);
    deployed.apply(&[(
        "# fields: {SMTP_USERNAME: access_key_id, SMTP_PASSWORD: smtp_password, host: smtp_host, port: smtp_port}",
        FIELDS,
    )]);
    assert_shown!("fields_that_no_rotation_has_written", &deployed.sandbox, &deployed.run(&["plan"]).stdout);
    for _ in 0..2 {
        deployed.completes().await;
        let value = deployed.sandbox.secret("AWSCURRENT").await;
        assert_eq!(value.other.get("SMTP_USERNAME").unwrap(), value.access_key_id);
        assert_eq!(value.other.get("SMTP_PASSWORD").unwrap(), value.smtp_password);
        assert_eq!(
            (&value.other.get("host").unwrap(), value.other.get("port").unwrap().is_number()),
            (&json!("127.0.0.1"), true)
        );
    }
    let plan = deployed.run(&["plan"]);
    assert!(!plan.stdout.contains("note: the field"), "{}", plan.stdout);
}

#[tokio::test]
async fn the_secret_holds_the_username_of_another_user() {
    let other = r#"{"username": "another", "AccessKeyId": "", "SMTPPassword": "", "iam_user_arn": ""}"#;
    fails_with(other, "SecretOfAnotherUser", "another_username").await.says(&[
        "the IAM user another",
        "mail-prod-smtp",
        "no key was made",
    ]);
}

#[tokio::test]
async fn the_secret_holds_the_arn_of_another_user() {
    let other = r#"{"username": "mail-prod-smtp", "AccessKeyId": "", "SMTPPassword": "", "iam_user_arn": "arn:aws:iam::123456789012:user/other/mail-prod-smtp"}"#;
    let failure = fails_with(other, "SecretOfAnotherUser", "another_users_arn").await;
    failure.says(&["user/other/mail-prod-smtp", "no key was made"]);
}

#[tokio::test]
async fn malformed_json_beside_the_current_value_has_its_labels_taken_off() {
    let deployed = Deployed::new().await;
    deployed.completes().await;
    let good = deployed.labelled("AWSCURRENT").await.unwrap();
    let previous = deployed.key_labelled("AWSPREVIOUS").await;
    let bad = deployed.put("not JSON").await;
    deployed.move_label("AWSCURRENT", Some(&good)).await;
    assert_eq!(deployed.labelled("AWSPREVIOUS").await, Some(bad.clone()));
    let before = deployed.mark();

    let failure = deployed.rotate().await.failed(CREATE, "MalformedSecret");

    failure.says(&[&bad, "AWSPREVIOUS", "or take the labels off the version if nobody needs it"]);
    deployed.touched_no_key(before);
    deployed.mail_works().await;
    deployed.shows("malformed_json_beside_current").await;
    let request = deployed.aws.secrets.update_secret_version_stage().secret_id(SECRET).version_stage("AWSPREVIOUS");
    request.remove_from_version_id(bad).send().await.unwrap();
    // Only an old version without labels names the previous key now.
    let failure = deployed.try_again().await.failed(CREATE, "NoSafeSlot");
    failure.says(&[&previous, "wait a few minutes"]);
    deployed.let_pass(60 * 60);
    deployed.completes_when_tried_again().await;
    assert!(!deployed.has_key(&previous).await);
}

#[tokio::test]
async fn extra_fields_are_kept() {
    let deployed = Deployed::new().await;
    let value = deployed.sandbox.secret("AWSCURRENT").await;
    // Numbers that no program's own type holds, and an object in its own order.
    let extra = r#""id":9007199254740993123,"of":{ "somebody": ["else", null, 1.10] , "a": 1e3 },"port":465,"rate":0.50000000000000000001"#;
    let stored = value.to_json().replacen('{', &format!("{{{extra},"), 1);
    deployed.put(&stored).await;

    for _ in 0..2 {
        deployed.completes().await;
        let rotated = deployed.sandbox.secret("AWSCURRENT").await;
        for field in [
            "id\":9007199254740993123,",
            "of\":{ \"somebody\": [\"else\", null, 1.10] , \"a\": 1e3 },",
            "rate\":0.50000000000000000001,",
        ] {
            assert!(rotated.to_json().contains(field), "{}", rotated.to_json());
        }
        assert_ne!(rotated.access_key_id, value.access_key_id);
    }
}

#[tokio::test]
async fn a_field_that_the_file_maps_no_more_is_told_before_and_after_it_is_old() {
    let mapped = (
        "# fields: {SMTP_USERNAME: access_key_id, SMTP_PASSWORD: smtp_password, host: smtp_host, port: smtp_port}",
        "fields: {SMTP_USER: access_key_id, mailpw: smtp_password}",
    );
    let deployed = Deployed::with(&[mapped]).await;
    deployed.sandbox.config(&[]);
    let planned = deployed.run(&["plan"]).expect(0).in_one_line();
    assert!(planned.contains("no longer maps SMTP_USER, mailpw under secret.fields"), "{planned}");
    deployed.run(&["apply", "--auto-approve"]).expect(0);

    let rotated = deployed.run(&["rotate"]).expect(0).in_one_line();

    for field in ["SMTP_USER", "mailpw"] {
        let old = format!("the field {field} of AWSCURRENT looks like another credential than the one in use");
        for said in [
            rotated.clone(),
            deployed.run(&["status"]).expect(0).in_one_line(),
            deployed.run(&["recover"]).expect(0).in_one_line(),
        ] {
            assert!(said.contains(&old), "{said}");
        }
    }
}
