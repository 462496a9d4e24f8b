//! What people notice of the page in a browser: where things are, what they say, and what happens when they are touched or typed.
//! Each test is a script in `tests/page`.

use super::{Tools, World};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_opened_is_in_sight_and_every_column_can_be_read_at_every_width() {
    let Some(tools) = Tools::find() else { return };
    World::new().await.run(&tools, "sight", &[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_answer_is_shown_with_its_own_question_and_with_what_its_time_lacks() {
    let Some(tools) = Tools::find() else { return };
    World::new().await.run(&tools, "answers", &[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_invisible_is_tapped_and_the_first_touch_of_the_histogram_zooms() {
    let Some(tools) = Tools::find() else { return };
    World::new().await.run(&tools, "touch", &[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_unknown_field_is_an_error_where_it_is_typed_and_is_left_out_of_a_link() {
    let Some(tools) = Tools::find() else { return };
    World::new().await.run(&tools, "mistakes", &[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_done_by_keyboard_keeps_the_focus_and_the_place_in_the_list() {
    let Some(tools) = Tools::find() else { return };
    World::new().await.run(&tools, "focus", &[]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn characters_colours_and_names_that_cannot_be_seen_are_shown() {
    let Some(tools) = Tools::find() else { return };
    World::new().await.run(&tools, "shown", &[]);
}
