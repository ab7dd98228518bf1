"""Words that say little by themselves, by language: articles, pronouns, prepositions, auxiliaries.

Belongs here: the lists, as data. Does not belong here: what is done with what is left (wording, embedded/extracting),
whose digest holds that of this module.
"""

from __future__ import annotations

_EN = """
a about above after again against all almost also am an and any are as at away back be became because been before
being below between both but by came can cannot come could did do does doing done down during each either else even
ever every few for from get gets give go goes going gone got had has have having he her here hers herself him himself
his how i if in into is it its itself just let like made make makes many may me might more most much must my myself
neither no nor not now of off on once one only onto or other our ours ourselves out over own put quite rather really
said same say says see she should since so some something still such take than that the their theirs them themselves
then there these they thing things this those though through thus to too two under until up upon us very was way we
well went were what when where whether which while who whom whose why will with within without would yes yet you your
yours yourself i'm i'll i've i'd it's that's there's he's she's we're we've we'll they're they've you're you've don't
doesn't didn't isn't aren't wasn't weren't won't can't couldn't wouldn't shouldn't hasn't haven't hadn't let's oh uh
um er okay ok
"""
_DE = """
aber alle allem allen aller alles als also am an andere anderen anderer anderes auch auf aus bei beim bin bis bist da
damit dann das dass dein deine dem den denn der des dich die dies diese diesem diesen dieser dieses dir doch dort du
durch ein eine einem einen einer eines einmal er es etwas euch euer für gegen gewesen hab habe haben hat hatte hatten
hier hin hinter ich ihm ihn ihnen ihr ihre ihrem ihren ihrer im in indem ins ist ja jede jedem jeden jeder jedes jener
jetzt kann kein keine keinem keinen keiner können könnte machen man manche mehr mein meine mich mir mit muss müssen
nach nicht nichts noch nun nur ob oder ohne schon sehr sein seine seinem seinen seiner selbst sich sie sind so sogar
soll sollte sondern um und uns unser unter viel vom von vor während war waren was weg weil weiter welche welcher wenn
wer werden wie wieder will wir wird wo wollen worden wurde wurden zu zum zur zwar zwischen über
"""
_FR = """
a ai ainsi alors au aucun aussi autre autres aux avaient avait avant avec avoir c ce ceci cela celle celles celui ces
cet cette ceux chaque chez ci comme comment d dans de depuis des deux doit donc dont du elle elles en encore entre est
et était étaient été être eu eux fait faire font hors il ils j je l la le les leur leurs lui m ma mais me même mes moi
moins mon n ne ni non nos notre nous on ont ou où par parce pas peu peut plus plusieurs pour pourquoi qu quand que
quel quelle qui s sa sans se sera ses si soit son sont sous sur t ta te tes toi ton tous tout toute toutes très tu un
une vers vos votre vous y
"""
_ES = """
a al algo alguna algunas alguno algunos ante antes aquel aquella aquí así aun aunque bajo bien cada casi como con
contra cual cuando cuanto de del desde donde dos durante e el él ella ellas ellos en entre era eran es esa esas ese
eso esos esta está están estas este esto estos fue fueron ha había habían han hasta hay incluso la las le les lo los
luego más me mi mis mientras mucho muy nada ni no nos nosotros nuestra nuestro o os otra otras otro otros para pero
poco por porque pues que qué quien se sea ser si sí sido sin sobre son su sus también tan tanto te tiene tienen toda
todas todo todos tras tu tus un una uno unos usted ya yo y
"""
_IT = """
a ad ai al alla alle allo anche ancora avere aveva c che chi ci come con contro cui da dai dal dalla dalle degli dei
del della delle dello di dopo dove due e è ed era erano essere fa fino fra già gli ha hanno ho i il in io l la le lei
li lo loro lui ma me mentre mi mia mio molto ne negli nei nel nella nelle no noi non nostra nostro o ogni per perché
però più poi prima qual quale quando quanto quella quelle quelli quello questa queste questi questo qui se sei sempre
senza si sia sono sopra sotto sta stata stato su sua sue sugli sui sul sulla suo tra tu tutta tutte tutti tutto un una
uno vi voi
"""
_PT = """
a ao aos aquela aquele aqui as até com como da das de dela dele depois do dois dos e é ela elas ele eles em entre era
eram essa essas esse esses esta está estão estas este estes eu foi foram há isso isto já lhe mais mas me mesmo meu
minha muito na não nas nem no nos nós nossa nosso num numa o os ou outra outro para pela pelas pelo pelos por porque
quando quanto que quem se sem ser seu seus só sobre sua suas também tem têm tinha todo todos tu um uma umas uns você
vocês
"""
_NL = """
aan al alle alles als altijd andere ben bij daar dan dat de der deze die dit doch doen door dus een en er ge geen
geweest haar had heb hebben heeft hem het hier hij hoe hun iemand iets ik in is ja je kan kon kunnen maar me meer men
met mij mijn moet na naar niet niets nog nu of om omdat ons ook op over reeds te tegen toch toen tot u uit uw van veel
voor want waren was wat we wel werd wezen wie wij wil worden wordt zal ze zelf zich zij zijn zo zonder zou
"""

STOP_WORDS = {
    language: frozenset(words.split())
    for language, words in {"en": _EN, "de": _DE, "fr": _FR, "es": _ES, "it": _IT, "pt": _PT, "nl": _NL}.items()
}
NONE: frozenset[str] = frozenset()


def stop_words(language: str | None) -> frozenset[str]:
    """The list of a language (a BCP 47 tag, "pt-BR" as "pt"); empty where there is none."""
    return STOP_WORDS.get((language or "").partition("-")[0].lower(), NONE)
