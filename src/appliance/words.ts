/**
 * The words that boxes are called by: two lists of 256, so that a byte chooses one. All are short,
 * easy to say over a telephone, and no two of both lists together make one blush: places, things and
 * times first, then what grows or is eaten. A change of order renames boxes.
 */

/** The first word of a name. */
export const firstWords: readonly string[] = `
acorn actor album alley alpha altar amber anchor anvil april arcade archer arena arrow artist atlas
attic autumn avenue badge bagpipe baker balcony ballad ballet bamboo banjo banner barge barrel basket
beacon beaker bell bench bishop blanket blazer bobbin bolt bonnet border boulder bracket breeze brick
bridge broom bronze brook bubble bucket buckle bugle button cabin cable cactus camera campus canal
candle canoe canvas canyon captain carbon carpet castle cello center chalk chapel chart chisel circle
circus clock cloud coast cobalt colony comet copper coral corner cosmos cotton cradle crane crater
crayon crystal cube curtain cymbal dancer dawn desert diary dingo dollar dome domino drum easel echo
ember engine falcon fender ferry fiddle field flame flask flute forest forge fossil fountain frame
galaxy garden gazebo glacier glider globe goblet granite gravel guitar gull hammer harbor harp hazel
helmet heron hockey horizon hotel igloo indigo inlet island ivory jacket jewel jigsaw jungle kayak
kettle kite knight ladder lagoon lamp lantern laser lava ledger lever library lighter linen lobby
locket lunch magnet mantle marble market marina marsh mason meadow medal meteor metro mirror mitten
monday mosaic motor muffler museum napkin nebula needle noon notebook ocean office opal orbit orchid
origami oven paddle palace panda paper parade parrot pencil piano pilot planet plaza pocket poem pond
poster pottery prairie prism puzzle quarry quartz quilt radar radio rafter ribbon river robin rocket
saddle sandal satin sextant shadow silver sketch sled sonata spiral stadium statue summit sunset
tablet tailor teapot temple theater ticket timber tower trellis trumpet tunnel valley velvet violin
`
  .trim()
  .split(/\s+/);

/** The second word of a name, and the third. */
export const secondWords: readonly string[] = `
agave alfalfa allspice almond aloe anise apple apricot arugula aspen aster avocado bagel baklava
banana barley basil bayleaf bean beet begonia berry birch biscuit bluebell borage bran bread brie
brioche broccoli broth brownie burrito butter cabbage caramel caraway cardamom carrot cashew cassava
cedar celery cereal chard cheddar cherry chervil chestnut chicory chili chive chutney cider cinnamon
citron clover clove cocoa coconut compote cookie corn couscous cracker cranberry cream cress crocus
crouton crumpet cumin cupcake currant curry custard cypress dahlia daisy damson date dill donut
dragonfruit dumpling edamame elder elm endive espresso falafel fennel fenugreek fern feta fig flax
focaccia fondue fritter fudge garlic gelato gherkin ginger gingko gnocchi gooseberry gouda granola
grape grapefruit gravy guava gumbo halloumi hazelnut heather hibiscus hickory honey hops hummus hyssop
iris ivy jasmine jelly jicama juniper kale kelp ketchup kiwi kohlrabi kumquat larch lasagna laurel
lavender leek lemon lentil lettuce lilac lily lime linden linseed lotus lychee macadamia macaroni
magnolia mango maple marigold marjoram marzipan melon millet mimosa mint miso molasses morel muesli
muffin mulberry mushroom mustard myrtle nectar nectarine noodle nougat nutmeg oak oat okra olive
omelet onion orange oregano paella pancake papaya paprika parsley parsnip pasta pastry peach peanut
pear pecan pepper peppermint persimmon pesto pickle pine pineapple pistachio plantain plum polenta
poplar poppy potato praline pretzel primrose pudding pumpkin quiche quince quinoa radicchio radish
raisin ramen raspberry ravioli relish rhubarb ricotta risotto rosemary rowan rye saffron sage salsa
samosa scone sesame shallot sherbet sorbet sorghum spinach squash strudel sundae taco tahini tamarind
tangerine tapioca thyme tofu tomato truffle
`
  .trim()
  .split(/\s+/);
