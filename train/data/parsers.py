"""File names of the corpora: a path to an `Utterance`, or None where the name is not of the corpus.

Each parser reads the names as the corpus' authors publish them; letters' case does not matter.
"""

import re
from pathlib import Path

from train.data.utterances import Utterance

RAVDESS = re.compile(r"03-(01|02)-0([1-8])-(01|02)-(01|02)-(01|02)-(\d\d)")
RAVDESS_EMOTIONS = ("neutral", "calm", "happy", "sad", "angry", "fearful", "disgust", "surprised")
RAVDESS_SUNG = 6  # the song recordings have neither disgust nor surprised

CREMA_D = re.compile(r"(1\d{3})_[a-z]{3}_([a-z]{3})_(lo|md|hi|xx?)")
CREMA_D_EMOTIONS = {
    "ang": "angry",
    "dis": "disgust",
    "fea": "fearful",
    "hap": "happy",
    "neu": "neutral",
    "sad": "sad",
}
CREMA_D_LEVELS = {"lo": "low", "md": "medium", "hi": "high"}

TESS = re.compile(r"(oaf?|yaf)_[a-z]+_([a-z]+)")
TESS_EMOTIONS = {
    "angry": "angry",
    "disgust": "disgust",
    "fear": "fearful",
    "happy": "happy",
    "neutral": "neutral",
    "ps": "surprised",
    "sad": "sad",
}

SAVEE = re.compile(r"(dc|je|jk|kl)_(sa|su|[adfhn])\d\d")
SAVEE_EMOTIONS = {
    "a": "angry",
    "d": "disgust",
    "f": "fearful",
    "h": "happy",
    "n": "neutral",
    "sa": "sad",
    "su": "surprised",
}

EMO_DB = re.compile(r"(\d\d)[ab]\d\d([wleaftn])[a-z]")
EMO_DB_EMOTIONS = {  # initials of Wut, Langeweile, Ekel, Angst, Freude, Trauer
    "w": "angry",
    "l": "bored",
    "e": "disgust",
    "a": "fearful",
    "f": "happy",
    "t": "sad",
    "n": "neutral",
}
EMO_DB_SEXES = dict.fromkeys(("03", "10", "11", "12", "15"), "male") | dict.fromkeys(
    ("08", "09", "13", "14", "16"), "female"
)

ASED = re.compile(r"(n1|f2|h3|s4|a5)-\d\d-\d\d-(01|02)-(\d\d)")
ASED_EMOTIONS = {"n1": "neutral", "f2": "fearful", "h3": "happy", "s4": "sad", "a5": "angry"}
ASED_SEXES = {"01": "female", "02": "male"}

TUREV = re.compile(r"(\d{4})_(kz|sk|mt|hl)_\w+")
TUREV_EMOTIONS = {"kz": "angry", "sk": "calm", "mt": "happy", "hl": "sad"}

NEMO = re.compile(r"([a-z]{2}\d)_(anger|fear|happiness|neutral|sadness|surprised)_\d+")
NEMO_EMOTIONS = {
    "anger": "angry",
    "fear": "fearful",
    "happiness": "happy",
    "neutral": "neutral",
    "sadness": "sad",
    "surprised": "surprised",
}

EMOSPEECH = re.compile(
    r"[a-z]+-(?:[a-z _]+-)?(angry|calm|fearful|happy)-(?:\d{13,14}|\?\?)-([0-9a-f]{12,64})"
)
EMOSPEECH_UNKNOWN = "d14a028c2a3a2bc9476102bb288234c415a2b01f828ea62ac5b3e42f"  # by its README

URDU = re.compile(r"(s([mf])\d+)_f\d+_([ahns])\d+")
URDU_EMOTIONS = {"a": "angry", "h": "happy", "n": "neutral", "s": "sad"}


def parse_ravdess(path: Path) -> Utterance | None:
    """modality-channel-emotion-intensity-statement-repetition-actor; odd actors are male.

    Channel 01 is speech, 02 song. Only modality 03, audio: sound taken out of the videos (01) is
    the same takes again. Source: Livingstone and Russo 2018.
    """
    found = RAVDESS.fullmatch(path.stem)
    if not found:
        return None
    channel, emotion, intensity, _, _, actor = found.groups()
    sung = channel == "02"
    if not 1 <= int(actor) <= 24 or (sung and int(emotion) > RAVDESS_SUNG):
        return None
    return Utterance(
        path,
        RAVDESS_EMOTIONS[int(emotion) - 1],
        f"ravdess-{actor}",
        "male" if int(actor) % 2 else "female",
        "en",
        "strong" if intensity == "02" else "normal",
        corpus="ravdess",
        style="song" if sung else "speech",
    )


def parse_crema_d(path: Path) -> Utterance | None:
    """actor_sentence_emotion_level, as in `1001_DFA_ANG_XX`; the sexes are in a table beside.

    One name lacks a letter, `1040_ITH_SAD_X`. Source: Cao et al. 2014.
    """
    found = CREMA_D.fullmatch(path.stem.lower())
    if not found or found[2] not in CREMA_D_EMOTIONS:
        return None
    level = CREMA_D_LEVELS.get(found[3], "unspecified")
    label = CREMA_D_EMOTIONS[found[2]]
    return Utterance(path, label, f"crema-d-{found[1]}", "", "en", level, corpus="crema-d")


def parse_tess(path: Path) -> Utterance | None:
    """talker_word_emotion; an older (OAF) and a younger (YAF) woman, `ps` is pleasant surprise.

    One name lacks a letter, `OA_bite_neutral`. Source: Dupuis and Pichora-Fuller 2010.
    """
    found = TESS.fullmatch(path.stem.lower())
    if not found or found[2] not in TESS_EMOTIONS:
        return None
    speaker = "tess-yaf" if found[1] == "yaf" else "tess-oaf"
    return Utterance(path, TESS_EMOTIONS[found[2]], speaker, "female", "en", corpus="tess")


def parse_savee(path: Path) -> Utterance | None:
    """`DC_a01`, or `a01` in a folder DC: talker, emotion, sentence; four men.

    Source: Haq and Jackson 2010.
    """
    stem = path.stem.lower()
    found = SAVEE.fullmatch(stem if "_" in stem else f"{path.parent.name.lower()}_{stem}")
    if not found:
        return None
    label = SAVEE_EMOTIONS[found[2]]
    return Utterance(path, label, f"savee-{found[1]}", "male", "en", corpus="savee")


def parse_emo_db(path: Path) -> Utterance | None:
    """Speaker, text, emotion, version, as in `03a01Fa`; German. Source: Burkhardt et al. 2005."""
    found = EMO_DB.fullmatch(path.stem.lower())
    if not found or found[1] not in EMO_DB_SEXES:
        return None
    label, sex = EMO_DB_EMOTIONS[found[2]], EMO_DB_SEXES[found[1]]
    return Utterance(path, label, f"emo-db-{found[1]}", sex, "de", corpus="emo-db")


def parse_ased(path: Path) -> Utterance | None:
    """emotion-sentence-repetition-sex-speaker, as in `a5-04-02-01-29`; Amharic.

    The sex is the name's: five names contradict the other names of their speaker. One begins with
    a capital, `S4-04-02-01-29`. Source: Retta et al. 2023.
    """
    found = ASED.fullmatch(path.stem.lower())
    if not found:
        return None
    label, sex = ASED_EMOTIONS[found[1]], ASED_SEXES[found[2]]
    return Utterance(path, label, f"ased-{found[3]}", sex, "am", corpus="ased")


def parse_turev(path: Path) -> Utterance | None:
    """speaker_emotion_word, as in `1157_kz_acik`; Turkish.

    The codes are those of its folders Angry, Calm, Happy and Sad; the names lack the
    speakers' sex. Source: Canpolat et al. 2020.
    """
    found = TUREV.fullmatch(path.stem.lower())
    if not found:
        return None
    label = TUREV_EMOTIONS[found[2]]
    return Utterance(path, label, f"turev-{found[1]}", "", "tr", corpus="turev")


def parse_nemo(path: Path) -> Utterance | None:
    """speaker_emotion_sentence, as in `EB0_anger_1`; Polish; the sexes are in a table beside.

    Source: Christop 2024.
    """
    found = NEMO.fullmatch(path.stem.lower())
    if not found:
        return None
    label = NEMO_EMOTIONS[found[2]]
    return Utterance(path, label, f"nemo-{found[1]}", "", "pl", corpus="nemo")


def parse_emospeech(path: Path) -> Utterance | None:
    """word-environment-emotion-time-speaker, as in `help-safe-calm-1562996360436-c7b431195e28`.

    Reduced copies lack the environment and shorten the speaker. Six names have `??` for the time.
    The words are English and Hindi. Source: Banga et al. 2019.
    """
    found = EMOSPEECH.fullmatch(path.stem.lower())
    if not found:
        return None
    speaker = "" if EMOSPEECH_UNKNOWN.startswith(found[2]) else f"emospeech-{found[2]}"
    return Utterance(path, found[1], speaker, "", "", corpus="emospeech")


def parse_urdu(path: Path) -> Utterance | None:
    """`Angry/SM1_F10_A010`: speaker, file, number with the initial of the label; Urdu.

    M and F of the speaker are the sex. Source: Latif et al. 2018.
    """
    label, found = path.parent.name.lower(), URDU.fullmatch(path.stem.lower())
    if not found or URDU_EMOTIONS[found[3]] != label:
        return None
    sex = "male" if found[2] == "m" else "female"
    return Utterance(path, label, f"urdu-{found[1]}", sex, "ur", corpus="urdu")
