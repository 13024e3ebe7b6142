/* accents.c: owns the table of letters with accents: the canonical decompositions of Unicode in
 * Latin, Greek and Cyrillic with the accents below; see accents.h. */
#include "accents.h"
#include "../tokenizer.h"

static const struct {
    uint32_t accent;
    const char *pairs;          /* each letter, then what it becomes */
} table[] = {
    { 0x300, /* grave */
      "AÀEÈIÌOÒUÙaàeèiìoòuùÜǛüǜNǸnǹЕЀИЍеѐиѝĒḔēḕŌṐōṑWẀwẁÂẦâầĂẰăằÊỀêềÔỒôồƠỜơờƯỪưừYỲyỳ" },
    { 0x301, /* acute */
      "AÁEÉIÍOÓUÚYÝaáeéiíoóuúyýCĆcćLĹlĺNŃnńRŔrŕSŚsśZŹzźÜǗüǘGǴgǵÅǺåǻÆǼæǽØǾøǿΑΆΕΈΗΉΙΊΟΌΥΎ"
      "ΩΏϊΐαάεέηήιίϋΰοόυύωώГЃКЌгѓкќÇḈçḉĒḖēḗÏḮïḯKḰkḱMḾmḿÕṌõṍŌṒōṓPṔpṕŨṸũṹWẂwẃÂẤâấĂẮăắÊẾêế"
      "ÔỐôốƠỚơớƯỨưứ" },
    { 0x302, /* circumflex */
      "AÂEÊIÎOÔUÛaâeêiîoôuûCĈcĉGĜgĝHĤhĥJĴjĵSŜsŝWŴwŵYŶyŷZẐzẑẠẬạậẸỆẹệỌỘọộ" },
    { 0x303, /* tilde */
      "AÃNÑOÕaãnñoõIĨiĩUŨuũVṼvṽÂẪâẫĂẴăẵEẼeẽÊỄêễÔỖôỗƠỠơỡƯỮưữYỸyỹ" },
    { 0x304, /* macron */
      "AĀaāEĒeēIĪiīOŌoōUŪuūÜǕüǖÄǞäǟȦǠȧǡÆǢæǣǪǬǫǭÖȪöȫÕȬõȭȮȰȯȱYȲyȳGḠgḡḶḸḷḹṚṜṛṝ" },
    { 0x306, /* breve */
      "AĂaăEĔeĕGĞgğIĬiĭOŎoŏUŬuŭУЎИЙийуўȨḜȩḝẠẶạặ" },
    { 0x307, /* dot above */
      "CĊcċEĖeėGĠgġIİZŻzżAȦaȧOȮoȯBḂbḃDḊdḋFḞfḟHḢhḣMṀmṁNṄnṅPṖpṗRṘrṙSṠsṡŚṤśṥŠṦšṧṢṨṣṩTṪtṫWẆ"
      "wẇXẊxẋYẎyẏſẛ" },
    { 0x308, /* diaeresis */
      "AÄEËIÏOÖUÜaäeëiïoöuüyÿYŸΙΪΥΫιϊυϋЕЁІЇеёіїHḦhḧÕṎõṏŪṺūṻWẄwẅXẌxẍtẗ" },
    { 0x309, /* hook */
      "AẢaảÂẨâẩĂẲăẳEẺeẻÊỂêểIỈiỉOỎoỏÔỔôổƠỞơởUỦuủƯỬưửYỶyỷ" },
    { 0x30a, /* ring */
      "AÅaåUŮuůwẘyẙ" },
    { 0x30b, /* double acute */
      "OŐoőUŰuű" },
    { 0x30c, /* caron */
      "CČcčDĎdďEĚeěLĽlľNŇnňRŘrřSŠsšTŤtťZŽzžAǍaǎIǏiǐOǑoǒUǓuǔÜǙüǚGǦgǧKǨkǩƷǮʒǯjǰHȞhȟ" },
    { 0x31b, /* horn */
      "OƠoơUƯuư" },
    { 0x323, /* dot below */
      "BḄbḅDḌdḍHḤhḥKḲkḳLḶlḷMṂmṃNṆnṇRṚrṛSṢsṣTṬtṭVṾvṿWẈwẉZẒzẓAẠaạEẸeẹIỊiịOỌoọƠỢơợUỤuụƯỰưự"
      "YỴyỵ" },
    { 0x327, /* cedilla */
      "CÇcçGĢgģKĶkķLĻlļNŅnņRŖrŗSŞsşTŢtţEȨeȩDḐdḑHḨhḩ" },
    { 0x328, /* ogonek */
      "AĄaąEĘeęIĮiįUŲuųOǪoǫ" },
};

enum { ACCENTS = sizeof table / sizeof table[0] };

/* The next character of a row; moves *at on. */
static uint32_t next_letter(const char **at)
{
    uint32_t value = 0;
    *at += utf8_decode(*at, strlen(*at), &value);
    return value;
}

bool accents_split(uint32_t value, uint32_t *letter, uint32_t *accent)
{
    for (int row = 0; row < ACCENTS; row++)
        for (const char *at = table[row].pairs; *at != '\0'; ) {
            *letter = next_letter(&at);
            *accent = table[row].accent;
            if (next_letter(&at) == value) return true;
        }
    return false;
}

uint32_t accents_join(uint32_t letter, uint32_t accent)
{
    for (int row = 0; row < ACCENTS; row++)
        for (const char *at = table[row].pairs; table[row].accent == accent && *at != '\0'; ) {
            uint32_t from = next_letter(&at), to = next_letter(&at);
            if (from == letter) return to;
        }
    return 0;
}
