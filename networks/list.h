/* list.h: the networks of this build, in the order of --help. A new one is a line here and a file
 * that defines its tables family_NAME and network_NAME.
 *
 *     NETWORKS(DECLARE)                      family.c and network.c make their lists of it
 */
#ifndef NETWORKS
#define NETWORKS(X) \
    X(gpt2) \
    X(qwen3) \
    X(ngram) \
    X(fvsbn) \
    X(nade) \
    X(made) \
    X(cnn) \
    X(lstm)
#endif
