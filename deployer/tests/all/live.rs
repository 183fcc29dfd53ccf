//! What a person sees on a terminal while the deployer works.

use std::collections::BTreeSet;

use crate::support::{controls::Rotations, deployed::Deployed, example::ROTATE_LATER, faults::Fault, terminal::screen};

/// The code with which the display clears its lines.
const CLEAR: &str = "\u{1b}[2K";

/// The last letters of the codes that were written: `A` goes up, by as many lines as the display has; `m` is a colour.
fn codes(written: &str) -> BTreeSet<char> {
    written.split("\u{1b}[").skip(1).filter_map(|code| code.chars().find(char::is_ascii_alphabetic)).collect()
}

/// Whether the display was drawn over itself.
fn is_drawn_over(written: &str) -> bool {
    codes(written).contains(&'A') && written.contains(CLEAR)
}

/// What only the display shows.
fn is_left_of_the_display(screen: &str) -> bool {
    screen.contains("working (") || screen.contains("reading what AWS has") || screen.contains('⠋')
}

#[tokio::test]
async fn a_terminal_shows_what_runs_while_it_runs_and_is_clean_at_the_end() {
    let deployed = Deployed::before_apply(&[]).await;
    // What shall be seen is held until it was drawn: on a fast machine it would be over before.
    let sandbox = &deployed.sandbox;
    let held_in_set_secret = Fault::hold("ssm:GetCommandInvocation").times(usize::MAX).by_the_function();
    sandbox.faults(&[Fault::hold("lambda:CreateFunction"), held_in_set_secret.clone()]);

    let mut terminal = sandbox.terminal(&["apply"], &[]);
    terminal.wait_for("Only 'yes' is accepted");
    terminal.types("yes\n");
    terminal.wait_for("lambda:CreateFunction (");
    sandbox.faults(&[held_in_set_secret]);
    terminal.wait_for("rotation: setSecret (");
    terminal.wait_for("instance i-0123456789abcdef0");
    sandbox.end_faults();
    let (code, written) = terminal.end();

    let shown = screen(&written);
    assert_eq!(code, 0, "{shown}");
    assert!(is_drawn_over(&written), "nothing was drawn over: {shown}");
    assert!(!is_left_of_the_display(&shown), "{shown}");
    for part in ["Apply complete: 16 created", "rotation completed", "next: `deployer status`"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }

    // Colours are not wanted, and the locale is not UTF-8: the display is still drawn, in ASCII.
    let plain = deployed.sandbox.terminal(&["rotate"], &[("NO_COLOR", "1"), ("LC_ALL", "C")]);
    let (code, written) = plain.end();
    assert_eq!(code, 0, "{written}");
    assert!(is_drawn_over(&written) && written.is_ascii() && !codes(&written).contains(&'m'), "{written:?}");
    assert!(!is_left_of_the_display(&screen(&written)), "{written:?}");

    // A terminal on which nothing can be drawn gets lines, which fit it: no word is cut at its edge.
    for (verb, part) in
        [("status", "Is mail safe?"), ("plan", "No changes."), ("doctor", "credentials"), ("recover", "Healthy.")]
    {
        let (_, written) = deployed.sandbox.terminal(&[verb], &[("TERM", "dumb")]).end();
        assert!(!written.contains('\u{1b}') && written.contains(part), "{verb}: {written:?}");
        assert!(written.lines().all(|line| line.chars().count() <= 80), "{verb}: {written}");
    }

    // Nobody sees a terminal.
    let plain = deployed.run(&["status"]).expect(0);
    assert!(!plain.stdout.contains('\u{1b}') && !plain.stderr.contains('\u{1b}'), "{plain:?}");

    // Colours are wanted, although nobody sees a terminal: but nothing is drawn.
    let coloured = deployed.sandbox.deployer_with(&["status"], &[("CLICOLOR_FORCE", "1")]).expect(0);
    assert!(coloured.stdout.contains("\u{1b}[1m") && !coloured.stderr.contains(CLEAR), "{coloured:?}");

    // Only the question, with what it is about, and the result.
    deployed.sandbox.config(&[("team: platform", "team: mail")]);
    let quiet = deployed.run(&["apply", "--quiet", "--auto-approve"]).expect(0);
    assert!(quiet.stdout.starts_with("Apply complete:") && quiet.stderr.is_empty(), "{quiet:?}");
}

#[tokio::test]
async fn ctrl_c_leaves_a_clean_terminal_and_says_that_the_rotation_goes_on() {
    let deployed = Deployed::with(&[ROTATE_LATER]).await;
    deployed.sandbox.control(&Rotations { hold_before: Some("setSecret"), ..Rotations::default() });
    let mut terminal = deployed.sandbox.terminal(&["rotate"], &[]);
    terminal.wait_for("rotation: setSecret (");

    terminal.types("\u{3}");

    let (code, written) = terminal.end();
    let shown = screen(&written);
    assert!(code > 1, "{code}: {shown}");
    assert!(!is_left_of_the_display(&shown), "{shown}");
    assert!(shown.contains("the rotation goes on by itself"), "{shown}");
    deployed.release();
    deployed.ended().await;
}
