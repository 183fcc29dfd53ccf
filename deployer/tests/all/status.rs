//! `deployer status`, of what it cannot read.

use crate::support::{calls::NOTHING, deployed::Deployed, example::FUNCTION, faults::Fault};

/// Fails the test unless `status` says that the function was not asked, on the screen and to programs.
fn says_what_it_does_not_know(deployed: &Deployed, error: &str) {
    let (text, mutations) = deployed.run_watched(&["status"]);
    assert_eq!(mutations, NOTHING);
    let text = text.expect(15).in_one_line();
    for part in ["Is mail safe? look: failed to ", "not known which key is in use", error] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let lines = deployed.run(&["status", "--json"]).expect(15).json_of("status");
    let unread = lines[0]["unread"].as_array().unwrap();
    assert!(unread.len() == 1 && unread[0].to_string().contains(error), "{unread:?}");
    assert!(lines[0]["hosts"].is_null());
}

#[tokio::test]
async fn a_function_that_cannot_be_asked_is_an_incomplete_read() {
    let deployed = Deployed::example(&[]).await;
    let denied = "User: u is not authorized to perform: lambda:InvokeFunction on resource: r";
    let invoke = "lambda:InvokeFunction";
    for (fault, error) in [
        (Fault::fail(invoke, 403, "AccessDeniedException", denied), "AccessDeniedException"),
        (Fault::throttle(invoke), "TooManyRequestsException"),
        (Fault::fail(invoke, 502, "EC2ThrottledException", "refused by the test"), "EC2ThrottledException"),
    ] {
        deployed.sandbox.faults(&[fault.times(99)]);
        says_what_it_does_not_know(&deployed, error);
    }
    deployed.sandbox.faults(&[]);
    deployed.run(&["status"]).expect(0);
    deployed.aws.lambda.delete_function().function_name(FUNCTION).send().await.unwrap();
    says_what_it_does_not_know(&deployed, "was deleted");
}
