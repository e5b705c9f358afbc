from keras_med.recipe.opening import first_difference


def test_what_has_changed_in_a_recipe_is_named_by_its_line() -> None:
    before, now = "a\nover = [1e-2, 1e-3]", "a\nover = [1e-2, 1e-5]"
    assert first_difference(before, now) == ": line 2 was over = [1e-2, 1e-3], now it is over = [1e-2, 1e-5]"


def test_of_a_long_line_what_stands_around_the_difference_is_shown() -> None:
    told = first_difference("a" * 100 + "3" + "b" * 100, "a" * 100 + "5" + "b" * 100)
    assert told == f": line 1 was {'a' * 30}3{'b' * 29}, now it is {'a' * 30}5{'b' * 29}"


def test_a_line_that_was_added_differs_from_none() -> None:
    assert first_difference("a", "a\nb") == ": line 2 was empty, now it is b"
    assert first_difference("a\nb\n", "a\nb") == ""
