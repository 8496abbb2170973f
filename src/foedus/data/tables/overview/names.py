"""What the name of a column says of it. A name is a hint: what its cells hold has to agree."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


SITES = _words(
    """
    hospital hospitals site sites node center centre bank institution institute clinic branch krankenhaus klinik
    standort filiale zentrum einrichtung hopital clinique agence banque etablissement centro sede sucursal banco
    ospedale filial ziekenhuis vestiging szpital oddzial sykehus sjukhus
    """
)
"""Who holds rows: hardly anything else is called so."""

PLACES = _words(
    """
    device client user writer region country store station shop school plant factory machine sensor city state
    province county district farm lab laboratory batch cohort practice ward department warehouse outlet vehicle
    provider office location dealer meter turbine geraet maschine schule werk land stadt kreis praxis ecole pays
    ville region magasin escuela tienda ciudad pais provincia scuola negozio citta school winkel
    """
)
"""Who may hold rows, and may as well be something about them."""

MEASURES = _words("school state practice land location batch plant")
"""Places that as numbers may be years of school, a state of things, an area."""

PEOPLE = _words(
    """
    patient patients person subject user customer client participant pupil student household family animal mouse
    owner writer member account policyholder employee driver player proband patienten kunde schueler teilnehmer
    cliente paciente alumno eleve klant paziente
    """
)
"""Of whom there may be several rows."""

IDS = _words("id ids uuid guid index key mrn ssn identifier nr nummer kennung code rowid")

SURE_TARGETS = _words(
    """
    target label y outcome medv ziel zielgroesse zielvariable cible objetivo uitkomst esito wynik
    """
)
"""What is to be learned, whatever it holds: hardly anything else is called so."""

SURE_EVENTS = _words(
    """
    survived survival churn churned exited attrition readmitted readmission mortality died death fraud spam relapse
    recurrence rueckfall ruckfall rezidiv kuendigung kundigung gekuendigt gekundigt verstorben
    """
)
"""The same of a column of few values; of many it is a date, a rate, or a time."""

LIKELY_AMOUNTS = _words(
    """
    price num sales demand score quality charges cost costs rating grade revenue yield consumption prix precio preis
    prezzo umsatz ventes note nota
    """
)
"""What may be to be learned, and may as well be learned from."""

LIKELY_CLASSES = _words(
    """
    class diagnosis disease response result default income status subtype risk approved event severity stage
    infected failure fault defect sold level passed pass bad diagnose krank ergebnis resultat resultado diagnostico
    diagnostic risultato species
    """
)
"""The same of columns of few values."""

FEATURES = _words(
    """
    sex gender smoker smoking married marital race ethnicity education job occupation age weight height bmi color
    colour religion language year month day week hour weekday minute second quarter date time geschlecht sexe sexo
    sesso raucher fumeur fumador alter jahr monat familienstand beruf ausbildung civilite annee mois
    """
)
"""What is known to be about a row, and neither whose it is nor what is to be learned."""

CLASSES = _words(
    """
    class label species type category cluster diagnosis subtype kind klasse classe clase
    """
)
"""A target called so has labels, whatever they look like."""

TESTS = _words("test val valid validation eval holdout")
"""A file called so may be rows to judge by."""

_FILLERS = _words("is has the was variable var column col value binary")


def tokens(name: str) -> list[str]:
    """The words of a name, without accents and fillers.

    >>> tokens("patientId"), tokens("is_Hôpital-nr")
    (['patient', 'id'], ['hopital', 'nr'])
    """
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    plain = "".join(c for c in unicodedata.normalize("NFKD", spaced.casefold()) if not unicodedata.combining(c))
    words = [t for t in re.split(r"[\W_]+", plain) if t]
    return [t for t in words if t not in _FILLERS] or words


def says(name: str, known: Collection[str]) -> bool:
    """Whether one of the name's words is known."""
    return any(t in known for t in tokens(name))
