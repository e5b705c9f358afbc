"""Verdicts on networks of which it is known what they learned."""

import numpy as np
import pandas as pd
import pytest

from keras_med.evaluation.verdicts import SENTENCES, verdict


def ages(patients=60, error=4.0, seed=1):
    generator = np.random.default_rng(seed)
    label = generator.uniform(20, 90, patients)
    predicted = label + error * generator.normal(size=patients)
    return pd.DataFrame({"id": range(patients), "label": label, "predicted": predicted, "patient": range(patients)})


def noise(patients=200, seed=2):
    table = ages(patients, seed=seed)
    return table.assign(predicted=55 + 3 * np.random.default_rng(seed).normal(size=patients))


def bleeds(signal, patients=200, seed=3, sharpness=1.0):
    generator = np.random.default_rng(seed)
    truth = np.arange(patients) % 4 == 0
    logit = signal * truth - signal / 2 + generator.normal(size=patients)
    natural = signal * logit + np.log(1 / 3)  # of two normals a distance of `signal` apart, one in four positive
    return pd.DataFrame(
        {"label": truth.astype(int), "p_1": 1 / (1 + np.exp(-sharpness * natural)), "patient": range(patients)}
    )


def judged(test, validation=None):
    return verdict(test, 55.0, kind="regression", seed=1, validation=validation)


def judged_binary(test, validation=None):
    return verdict(test, 0.25, kind="binary", classes=(0, 1), seed=1, validation=validation)


def test_a_network_that_beats_the_constant_has_learned():
    found = judged(ages())
    assert found.name == "LEARNED"
    assert found.figures["mae_gain"]["low"] > 0


def test_a_network_that_does_not_has_failed_to_learn():
    assert judged(noise()).name == "FAILED TO LEARN"
    assert judged(noise(), validation=noise(seed=9)).name == "FAILED TO LEARN"
    assert judged(noise().assign(predicted=55.0)).name == "FAILED TO LEARN"


def test_a_network_that_learned_validation_alone_did_not_generalise():
    found = judged(noise(), validation=ages())
    assert found.name == "DID NOT GENERALISE"
    assert found.figures["validation_mae_gain"]["low"] > 0


def test_nineteen_patients_are_too_few_however_good():
    assert judged(ages(patients=19)).name == "TOO FEW CASES TO SAY"
    assert judged(pd.concat([ages(patients=19)] * 20)).name == "TOO FEW CASES TO SAY"


def test_an_interval_that_leaves_both_open_says_so():
    generator = np.random.default_rng(4)
    label = generator.uniform(20, 90, 25)
    # Pulled a quarter towards the truth with much noise: on 25 patients neither way can be told.
    table = pd.DataFrame({"label": label, "predicted": 55 + 0.4 * (label - 55) + 14 * generator.normal(size=25)})
    found = judged(table)
    assert (found.name, found.sentence) == ("TOO FEW CASES TO SAY", SENTENCES["TOO FEW CASES TO SAY", "wide"])
    assert found.figures["mae_gain"]["low"] < 0 < found.figures["mae_gain"]["high"]


def test_a_classifier_that_ranks_and_is_calibrated_has_learned():
    found = judged_binary(bleeds(signal=2))
    assert (found.name, found.sentence) == ("LEARNED", SENTENCES["LEARNED", "classification"])


def test_a_classifier_that_ranks_with_wild_probabilities_is_told_to_calibrate():
    found = judged_binary(bleeds(signal=2, sharpness=9))
    assert (found.name, found.sentence) == ("LEARNED", SENTENCES["LEARNED", "uncalibrated"])
    assert found.figures["log_loss_gain"]["value"] < 0
    wild, mended = bleeds(signal=2, sharpness=9), bleeds(signal=2)
    found = verdict(wild, 0.25, kind="binary", classes=(0, 1), seed=1, calibrated=mended)
    assert (found.name, found.sentence) == ("LEARNED", SENTENCES["LEARNED", "calibrated"])
    assert found.figures["log_loss_gain"]["value"] < 0 < found.figures["calibrated_log_loss_gain"]["low"]
    found = verdict(wild, 0.25, kind="binary", classes=(0, 1), seed=1, calibrated=wild)
    assert found.sentence == SENTENCES["LEARNED", "uncalibrated"]


def test_a_classifier_that_calls_everyone_positive_has_failed():
    assert judged_binary(bleeds(signal=2).assign(p_1=1.0)).name == "FAILED TO LEARN"


def test_a_classifier_that_forgot_on_test_did_not_generalise():
    test = bleeds(signal=2, patients=600).assign(
        p_1=lambda table: table["p_1"].sample(frac=1, random_state=2).to_numpy()
    )
    assert judged_binary(test, validation=bleeds(signal=2)).name == "DID NOT GENERALISE"


def test_four_positive_patients_are_too_few():
    found = judged_binary(bleeds(signal=2, patients=100).assign(label=lambda table: (table.index < 4).astype(int)))
    assert (found.name, found.sentence) == ("TOO FEW CASES TO SAY", SENTENCES["TOO FEW CASES TO SAY", "class"])


def test_several_classes_are_judged_by_the_mean_auroc():
    generator = np.random.default_rng(6)
    p = generator.dirichlet([0.4] * 3, 150)
    label = np.array(list("abc"))[(p.cumsum(axis=1) > generator.random((150, 1))).argmax(axis=1)]
    table = pd.DataFrame({"label": label, "p_a": p[:, 0], "p_b": p[:, 1], "p_c": p[:, 2]})
    assert verdict(table, [1 / 3] * 3, kind="classes", classes="abc", seed=1).name == "LEARNED"


@pytest.mark.parametrize("case", SENTENCES)
def test_sentences_are_one_sentence_and_end(case):
    assert SENTENCES[case].endswith(".")
    assert SENTENCES[case].count(". ") == 0
    assert case[0] in ("LEARNED", "FAILED TO LEARN", "DID NOT GENERALISE", "TOO FEW CASES TO SAY")
